"""WHO: which provider should run a job, and why. Only computes; imports nothing but metering."""
