#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Asks the npm registry for known vulnerabilities of the packages that are shipped; exit code 1 where there is one.
# A registry that does not answer that question (a mirror, no network) has audited nothing: it says so and goes on, or
# fails where AUDIT_REQUIRED=1.
set -euo pipefail
cd "$(dirname "$0")/.."

if answer=$(npm audit --omit=dev --json 2>/dev/null); then
  echo "audit: no known vulnerability in the packages that are shipped"
  exit 0
fi
# A report has metadata; what has not is the failure of asking.
if node -e 'process.exit("metadata" in JSON.parse(process.argv[1]) ? 0 : 1)' "$answer" 2>/dev/null; then
  npm audit --omit=dev || true
  echo "audit: there are known vulnerabilities in the packages that are shipped" >&2
  exit 1
fi
echo "audit: NOT AUDITED: the registry $(npm config get registry 2>/dev/null) does not answer npm's audit" >&2
[ "${AUDIT_REQUIRED:-}" != 1 ]
