#!/bin/sh
# Run a program in a root as if it were installed here, without changing the root:
#     enter.sh ROOT STAGE SHARED PROGRAM ARGUMENT...
# STAGE is an empty folder outside ROOT; SHARED names folders and files, separated by colons, that
# are the same inside and outside ("/folder" read-only, "+/folder" writable).
# To be called under `unshare --mount`: every mount is this program's own and ends with it, also
# when it is killed. What it writes into the root goes to memory and is forgotten.
set -eu
root=$1 stage=$2 shared=$3
shift 3
mount -t tmpfs -o mode=755 tmpfs "$stage"
mkdir "$stage/upper" "$stage/work" "$stage/root"
mount -t overlay -o "lowerdir=$root,upperdir=$stage/upper,workdir=$stage/work" overlay "$stage/root"
mount --rbind /dev "$stage/root/dev"
mount --rbind /proc "$stage/root/proc" # the same processes: the link looks at process ids
IFS=:
for folder in $shared; do
  access=ro
  case $folder in +*) access=rw folder=${folder#+} ;; esac
  if [ -d "$folder" ]; then
    mkdir -p "$stage/root$folder"
  else
    mkdir -p "$stage/root${folder%/*}"
    touch "$stage/root$folder"
  fi
  mount --bind "$folder" "$stage/root$folder"
  [ $access = rw ] || mount -o remount,ro,bind "$stage/root$folder"
done
unset IFS
cd /
exec chroot "$stage/root" "$@"
