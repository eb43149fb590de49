#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Says at once, and in one go, what is missing that we do not install ourselves: Linux on x64 or arm64, Node with npm,
# git and make. Silent when all is there.
set -euo pipefail

readonly NODE_LEAST="20.19.0"
problems=()

[ "$(uname -s)" = Linux ] || problems+=("this needs Linux; here is $(uname -s)")
case "$(uname -m)" in
  x86_64 | aarch64) ;;
  *) problems+=("this needs an x86-64 or arm64 machine; here is $(uname -m)") ;;
esac
if ! command -v node >/dev/null; then
  problems+=("Node $NODE_LEAST or newer is missing: see https://nodejs.org/en/download")
else
  found="$(node --version)"
  found="${found#v}"
  lower="$(printf '%s\n%s\n' "$NODE_LEAST" "$found" | sort -V | sed -n 1p)"
  [ "$lower" = "$NODE_LEAST" ] || problems+=("Node $NODE_LEAST or newer is needed; here is $found")
fi
for tool in npm git make; do
  command -v "$tool" >/dev/null || problems+=("$tool is missing")
done

[ "${#problems[@]}" -eq 0 ] && exit 0
printf 'spicegate cannot be built here:\n' >&2
printf '  - %s\n' "${problems[@]}" >&2
exit 1
