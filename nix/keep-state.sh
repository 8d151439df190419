# sh keep-state.sh HOME VERSION: before another version of the software opens the database for the first time, keeps it as it
# is; and when the system has come back from a version that never came up, puts it back.
# sh keep-state.sh HOME VERSION settled: the version has come up, so what was kept for the way back goes.
set -eu
home=$1 version=$2 kept=$home/before
stamp=$kept/version

copy() { # copy FROM TO: the database and what SQLite keeps beside it, whole or not at all
  rm -rf "$2.new" "$2"
  mkdir -p "$2.new"
  for file in "$1"/xnode.db "$1"/xnode.db-wal "$1"/xnode.db-shm; do
    if [ -e "$file" ]; then cp -p "$file" "$2.new/"; fi
  done
  sync -f "$2.new"
  mv "$2.new" "$2"
}

mkdir -p "$kept"
chmod 700 "$kept"
was=$(cat "$stamp" 2>/dev/null || echo "$version")
if [ "${3:-}" = settled ]; then
  rm -rf "$kept"/db-*
elif [ "$was" != "$version" ] && [ -e "$kept/db-$version" ]; then
  echo "$was did not come up: the database is as it was before it"
  [ -e "$kept/left-by-$was" ] || copy "$home/data" "$kept/left-by-$was"
  rm -f "$home"/data/xnode.db "$home"/data/xnode.db-wal "$home"/data/xnode.db-shm
  cp -p "$kept/db-$version"/* "$home/data/"
  sync -f "$home/data"
  rm -rf "$kept/db-$version"
elif [ "$was" != "$version" ] && [ -e "$home/data/xnode.db" ]; then
  echo "$version after $was: the database is kept for the way back"
  copy "$home/data" "$kept/db-$was"
fi
echo "$version" >"$stamp.new"
mv "$stamp.new" "$stamp"
