# sh place-node-key.sh GIVEN HOME: puts the node key that is declared into the home, and never over another one.
set -eu
given=$1 kept=$2/node-key.json
if [ ! -e "$kept" ]; then
  umask 077
  cat "$given" >"$kept.new"
  mv "$kept.new" "$kept"
elif [ "$(cat "$given")" != "$(cat "$kept")" ]; then
  echo "error: $kept: this is another node key than the one of services.xnode.nodeKeyFile" >&2
  echo "hint: leases and deposits belong to the key that is there; name its file, or move the home away" >&2
  exit 1
fi
