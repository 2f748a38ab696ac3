#!/usr/bin/env bash
# Sees to the real servers and tools that tests use. All are Debian packages: as root on Debian the missing ones are
# installed, elsewhere they are named, and the tests that need them count as skipped. Never fails a test run by itself,
# and starts no service: tests start their own, on ports and folders of their own.
set -uo pipefail

# What proves that it is there | the Debian package | what tests use it for.
SERVICES='
postgres_is_here | postgresql | the repositories on a second database
command -v mosquitto_pub | mosquitto-clients | an MQTT client of another maker against the broker inside the node
command -v busybox | busybox | unpacking packages with the tar of small gateways, and agent-lite in its shell
command -v dash | dash | agent-lite in another shell
command -v shellcheck | shellcheck | what is wrong with agent-lite and the install script that a machine can see
command -v lintian | lintian | what is wrong with the Debian package that a machine can see
command -v cpio | cpio | reading images for SWUpdate with the cpio of others
command -v openssl | openssl | verifying the signatures of images for SWUpdate
command -v swupdate | swupdate | installing images with an unmodified SWUpdate
command -v coap-client || command -v coap-client-notls | libcoap3-bin | a CoAP client of another maker against the node
command -v runc | runc | applications in root file systems of their own
strace_may_trace | strace | killing the agent at its system calls
command -v zstd | zstd | unpacking .tar.zst packages with GNU tar
'

strace_may_trace() {
  strace -qq -o /dev/null true
}

postgres_is_here() {
  command -v initdb || compgen -G '/usr/lib/postgresql/*/bin/initdb'
}

# Prints `PACKAGE | PURPOSE` for what is not there.
missing() {
  local test package purpose
  while IFS='|' read -r test package purpose; do
    test=$(xargs <<<"$test") package=$(xargs <<<"$package") purpose=$(xargs <<<"$purpose")
    [ -n "$package" ] || continue
    eval "$test" >/dev/null 2>&1 || echo "$package | $purpose"
  done <<<"$SERVICES"
}

install_packages() {
  local log policy=/usr/sbin/policy-rc.d
  log=$(mktemp "${TMPDIR:-/tmp}/leonore-apt.XXXXXX")
  # Tells the packages not to start their services (Debian's policy-rc.d); one that is there already stays.
  if [ ! -e "$policy" ] && printf '#!/bin/sh\nexit 101\n' >"$policy" 2>/dev/null; then
    chmod 755 "$policy"
    trap 'rm -f /usr/sbin/policy-rc.d' EXIT
  fi
  local apt=(apt-get -q -o DPkg::Lock::Timeout=60 -o Acquire::Retries=1 -o Acquire::http::Timeout=20 -o Acquire::https::Timeout=20)
  export DEBIAN_FRONTEND=noninteractive
  timeout 120 "${apt[@]}" update >"$log" 2>&1 </dev/null
  local package
  for package in "$@"; do # each by itself: one that cannot be had does not keep the others away
    if ! timeout 300 "${apt[@]}" install -y --no-install-recommends "$package" >>"$log" 2>&1 </dev/null; then
      echo "test services: apt-get could not install $package; it said:" >&2
      grep -E '^(E|W|Err):?' "$log" | tail -n 5 | sed 's/^/  /' >&2
    fi
  done
  rm -f "$log"
}

wanted=$(missing)
if [ -n "$wanted" ] && [ "$(id -u)" = 0 ] && [ -e /etc/debian_version ] && command -v apt-get >/dev/null; then
  mapfile -t packages < <(cut -d'|' -f1 <<<"$wanted" | xargs -n1)
  echo "test services: installing ${packages[*]} (Debian packages)"
  install_packages "${packages[@]}"
  wanted=$(missing)
fi

if [ -z "$wanted" ]; then
  echo 'test services: all there'
  exit 0
fi
echo 'test services: missing, so tests that need them are skipped:'
while IFS='|' read -r package purpose; do
  echo "  ${package% }: for${purpose}; on Debian: sudo apt-get install ${package% }"
done <<<"$wanted"
exit 0
