# sh one-paid-job.sh DEVNET HOME IMAGE: buys one job as a person would, with a new wallet in HOME, on the devnet of that folder;
# IMAGE is an archive or a layout. Ends with 0 when the job is done, its output is right, and the evidence holds.
set -eu
devnet=$1 home=$2 image=$3
export XNODE_HOME="$home" ETH_PASSWORD="$home/wallet.password"

mkdir -p "$home/job"
cd "$home/job"
if [ ! -e "$ETH_PASSWORD" ]; then
  (umask 077 && head -c 24 /dev/urandom | base64 >"$ETH_PASSWORD")
  xnode wallet new
fi
wallet=$(xnode wallet ls -o json | grep -o '0x[0-9a-fA-F]\{40\}' | head -n 1)
xnode devnet fund --folder "$devnet" "$wallet"
xnode daemon init --chain "$devnet/manifest.toml"
xnode pay deposit 20
xnode image import "$image" --name python

cat >job.yaml <<END
name: one-paid-job
image: python
command: [python3, -c, "import time; time.sleep(10); open('/work/out/answer', 'w').write(str(sum(range(10**6))))"]
outputs: results
resources: {vcpus: 0.5, memory: 256MiB, disk: 128MiB}
time_limit: 5m
budget: 1 OPENX
END
xnode job validate job.yaml
xnode job submit --follow --yes job.yaml
test "$(cat results/answer)" = 499999500000

job=$(xnode job ls -o json | grep -o '0x[0-9a-f]\{64\}' | head -n 1)
rm -rf evidence
xnode job receipts "$job" --export evidence
xnode audit evidence
