#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# usage: demo/install-packages.sh demo|test|bench
#
# Installs the Debian packages that are missing (as root), or says which command does (as anybody else, exit 1). Quick
# and silent when all is there. None of it starts a service: libvirt-daemon-system would and is not wanted, since the
# demo runs a libvirtd of its own and leaves the machine's alone; memcached would, so its service is masked first.
set -euo pipefail
cd "$(dirname "$0")/.."

readonly SET="${1:-}"
case "$SET" in
  demo | test | bench) ;;
  *) echo "usage: $0 demo|test|bench" >&2 && exit 2 ;;
esac

# The one list: set, package, why.
packages() {
  cat <<LIST
demo libvirt-daemon libvirtd, which the demo runs privately as an unprivileged user
demo libvirt-daemon-driver-qemu libvirt's part that runs QEMU machines
demo libvirt-clients virsh, to define and start the demo's machines
demo qemu-system-x86 QEMU, which runs the machines and serves their screens
demo $(spice_package) QEMU's SPICE server
test chromium opens consoles as people do
bench chromium opens consoles as people do
bench websockify Debian's own console relay, to compare with
test spice-html5 the console page of OpenStack deployments, which opens ours too
test openssl makes a certificate for machines with a TLS display
test python3-openstackclient Nova's command-line client, to drive the REST API
test python3-openstacksdk Nova's Python library, likewise
test python3-keystone Keystone without its service; tests run it themselves
test memcached a store of the legacy way, which tests run themselves
test systemd checks the units of the package, without being started
test python3-grpc-tools generates a Python client from the published protocols
LIST
}

# Debian 12 has QEMU's SPICE modules in a package that QEMU needs anyway; later ones and Ubuntu in one of their own.
spice_package() {
  . /etc/os-release
  if [ "${ID:-}" = debian ] && [ "${VERSION_ID:-}" = 12 ]; then echo qemu-system-common; else echo qemu-system-modules-spice; fi
}

wanted() {
  packages | while read -r set package why; do
    if [ "$set" = demo ] || [ "$set" = "$SET" ]; then printf '%s\t%s\n' "$package" "$why"; fi
  done
}

is_installed() {
  [[ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]]
}

bash demo/check-tools.sh
if ! command -v dpkg-query >/dev/null || ! command -v apt-get >/dev/null; then
  # Somewhere else the packages have other names, so what counts is whether the programs are there.
  missing=()
  [ -x /usr/sbin/libvirtd ] || missing+=(/usr/sbin/libvirtd)
  command -v virsh >/dev/null || missing+=(virsh)
  command -v qemu-system-x86_64 >/dev/null || missing+=("qemu-system-x86_64 with SPICE")
  [ "${#missing[@]}" -eq 0 ] && exit 0
  printf 'This is not Debian, so install these by hand: %s\n' "${missing[*]}" >&2
  exit 1
fi

missing=()
while IFS=$'\t' read -r package why; do
  is_installed "$package" && continue
  [ "${#missing[@]}" -gt 0 ] || echo "Debian packages that are missing here:" >&2
  printf '  %-28s %s\n' "$package" "$why" >&2
  missing+=("$package")
done < <(wanted)
[ "${#missing[@]}" -eq 0 ] && exit 0

# Debian's memcached comes with a service that starts at once and with the machine. systemd starts nothing that is masked,
# before and after the package is there; "systemctl unmask memcached" takes it back. One that is installed is left alone.
mask=""
if [[ " ${missing[*]} " == *" memcached "* ]] && [ -d /run/systemd/system ]; then mask="systemctl mask memcached.service"; fi

readonly INSTALL="install -y --no-install-recommends ${missing[*]}"
if [ "$(id -u)" -ne 0 ]; then
  printf 'Install them with this command, then run make again:\n\n' >&2
  printf '  %ssudo apt-get update && sudo apt-get %s\n\n' "${mask:+sudo $mask && }" "$INSTALL" >&2
  exit 1
fi
echo "Installing them now." >&2
export DEBIAN_FRONTEND=noninteractive
# Progress goes to standard error: the last line of the demo's standard output belongs to the demo.
# shellcheck disable=SC2086 -- the lists are to be split into words
if [ -n "$mask" ]; then $mask >&2; fi
apt-get update >&2
# shellcheck disable=SC2086
apt-get $INSTALL >&2
