# The type of what a TOML file can hold.
lib:
let
  value =
    lib.types.oneOf [
      lib.types.bool
      lib.types.int
      lib.types.float
      lib.types.str
      lib.types.path
      (lib.types.listOf value)
      (lib.types.attrsOf value)
    ]
    // {
      name = "TOML value";
    };
in
lib.types.attrsOf value
