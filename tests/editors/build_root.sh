#!/bin/sh
# Make a Debian root with the real editors and everything that drives them:
#     build_root.sh SUITE MIRROR KEYRING FOLDER
# Root only. Tells on stdout which versions it got.
set -eu
suite=$1 mirror=$2 keyring=$3 folder=$4

# python3-pyqt5: Krita's Python needs it and Debian only recommends it.
# libgl1-mesa-dri: Krita's canvas without a graphics card. locales, wqy: for the translations.
# python3-numpy and python3-zmq are left out: the plug-ins have to work without.
packages="gimp krita python3-pyqt5 python3-gi gir1.2-gtk-3.0 libgl1-mesa-dri locales
  xvfb xauth openbox xdotool wmctrl x11-utils imagemagick dbus-x11 fonts-dejavu-core
  fonts-wqy-microhei"
unwanted="python3-numpy python3-zmq"
languages="de_DE ru_RU es_ES fr_FR zh_CN"

export DEBIAN_FRONTEND=noninteractive LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin
proxy=$(apt-config dump --format '%v%n' Acquire::http::Proxy)
[ -z "$proxy" ] || export http_proxy="$proxy"

# An older debootstrap doesn't know the newest suites by name; its script for sid builds them all.
script=/usr/share/debootstrap/scripts/$suite
[ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid

# Nobody reads manuals here, and a build that was cut off is thrown away: no need to sync.
mkdir -p "$folder/etc/apt/apt.conf.d" "$folder/etc/dpkg/dpkg.cfg.d"
cat >"$folder/etc/dpkg/dpkg.cfg.d/test-root" <<END
force-unsafe-io
path-exclude=/usr/share/doc/*
path-exclude=/usr/share/man/*
END
cat >"$folder/etc/apt/apt.conf.d/test-root" <<END
APT::Install-Recommends "false";
APT::Sandbox::User "root";
Acquire::Check-Valid-Until "false";
Acquire::Check-Date "false";
Acquire::Languages "none";
Acquire::https::CAInfo "/tmp/ca.crt";
END

debootstrap --variant=minbase --keyring="$keyring" "$suite" "$folder" "$mirror" "$script" >&2
echo "deb $mirror $suite main" >"$folder/etc/apt/sources.list"
cp /etc/resolv.conf "$folder/etc/resolv.conf"
[ ! -e /etc/ssl/certs/ca-certificates.crt ] ||
  cp /etc/ssl/certs/ca-certificates.crt "$folder/tmp/ca.crt"
printf '#!/bin/sh\nexit 101\n' >"$folder/usr/sbin/policy-rc.d" # start no services
chmod +x "$folder/usr/sbin/policy-rc.d"

mount -t proc proc "$folder/proc" # in the caller's private mount namespace
chroot "$folder" apt-get update -q >&2
# shellcheck disable=SC2086
chroot "$folder" apt-get install -q -y $packages >&2
for package in $unwanted; do
  ! chroot "$folder" dpkg -s "$package" >/dev/null 2>&1 ||
    { echo "$package has come along" >&2; exit 1; }
done
for language in $languages; do
  chroot "$folder" localedef -i "$language" -f UTF-8 "$language.UTF-8"
done
chroot "$folder" apt-get clean
rm -rf "$folder/tmp/ca.crt" "$folder"/var/lib/apt/lists/*
chroot "$folder" dpkg-query -W gimp krita python3 python3-pyqt5
