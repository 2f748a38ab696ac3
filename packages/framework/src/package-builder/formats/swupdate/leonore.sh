#!/bin/sh
# Installs what a LEONORE package brings, called by SWUpdate's shellscript handler, and runs it from then on.
#
#   preinst    refuses what does not fit, before anything that runs is touched
#   postinst   stop, switch, install, start, health; taken back when one of them fails
#
# SWUpdate has unpacked each component into a folder of its own by then. A copy of this file without the package's part
# stays as ROOT/leonore.sh: boot, start NAME, stop NAME, status.
#
#   ROOT/components/NAME/FOLDER   a version: binary/NAME, control/NAME, leonore.component (what is known of it, to be sourced)
#   ROOT/components/NAME/current  its first line names the folder that counts
#   ROOT/components/NAME/previous while an update is under way: the folder that counted before, "-" for none
#   ROOT/committed                from here on an update that is broken off is finished, not taken back
#   ROOT/data/NAME                kept over updates
#
# POSIX sh and the tools of busybox. A sourced leonore.component sets variables, so that is done in subshells only.
set -u
umask 022
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
export PATH

SCRIPT_SECONDS=600
HEALTH_SECONDS=10
SETTLE_SECONDS=2
MOST_LOG_BYTES=1048576

say() { printf 'leonore: %s\n' "$*"; }
# SWUpdate reports what is said on stderr as errors.
fail() {
  printf 'leonore: %s\n' "$*" >&2
  return 1
}

read_line() {
  line=
  if [ -r "$1" ]; then read -r line <"$1"; fi
  printf '%s' "$line"
}
write_line() { printf '%s\n' "$2" >"$1.new" && mv -f "$1.new" "$1"; }

# Not every busybox knows parts of a second.
nap() { sleep 0.2 2>/dev/null || sleep 1; }

# Seconds since boot: the clock of a gateway may jump.
uptime_seconds() {
  read -r up _ </proc/uptime
  printf '%s' "${up%%.*}"
}

current() { read_line "$ROOT/components/$1/current"; }
previous() { read_line "$ROOT/components/$1/previous"; }
folder_of() { # NAME: the folder that counts, or that counted before the update under way
  folder=$(current "$1")
  [ -n "$folder" ] || folder=$(previous "$1")
  printf '%s' "$folder"
}
installed() {
  for folder in "$ROOT"/components/*/current; do
    [ -e "$folder" ] || continue
    folder=${folder%/current}
    printf '%s ' "${folder##*/}"
  done
}
fact() ( # NAME FOLDER FACT
  [ -r "$ROOT/components/$1/$2/leonore.component" ] || exit 0
  . "$ROOT/components/$1/$2/leonore.component"
  eval "printf '%s' \"\$$3\""
)

has() { # WORD WORDS
  case " $2 " in *" $1 "*) return 0 ;; esac
  return 1
}

# Those named and all that need one of them, directly or not.
with_dependents() {
  found=" $* "
  more=1
  while [ -n "$more" ]; do
    more=
    for one in $(installed); do
      if has "$one" "$found"; then continue; fi
      for need in $(fact "$one" "$(current "$one")" needs); do
        if has "$need" "$found"; then
          found="$found$one "
          more=1
          break
        fi
      done
    done
  done
  printf '%s' "$found"
}
# The same names, what is needed first.
in_order() {
  ordered=
  seen=
  for one in "$@"; do visit "$one"; done
  for one in $ordered; do
    if has "$one" "$*"; then printf '%s ' "$one"; fi
  done
}
visit() {
  if has "$1" "$seen"; then return; fi
  seen="$seen $1"
  for need in $(fact "$1" "$(folder_of "$1")" needs); do visit "$need"; done
  ordered="$ordered $1"
}
reversed() {
  turned=
  for one in "$@"; do turned="$one $turned"; done
  printf '%s' "$turned"
}

# --- control scripts ---

# Becomes the script, in a clear environment.
exec_script() { # NAME FOLDER SCRIPT PREVIOUS-VERSION
  at=$ROOT/components/$1/$2
  . "$at/leonore.component"
  environment
  search=
  for need in $needs; do
    binary=$ROOT/components/$need/$(folder_of "$need")/binary/$need
    [ -d "$binary" ] || continue
    if [ -d "$binary/bin" ]; then search=$search$binary/bin:; else search=$search$binary:; fi
    export "LEONORE_PATH_$(printf '%s' "$need" | tr a-z A-Z | tr -c A-Z0-9 _)=$binary"
  done
  export PATH="$search$PATH" HOME="$ROOT/data/$1" LANG=C.UTF-8 TMPDIR="$ROOT/tmp"
  export LEONORE_NAME="$name" LEONORE_VERSION="$version" LEONORE_SCRIPT="$3"
  export LEONORE_BINARY_DIR="$at/binary/$1" LEONORE_CONTROL_DIR="$at/control/$1" LEONORE_DATA_DIR="$ROOT/data/$1"
  export LEONORE_INSTALL_PATH="${install_path:-$LEONORE_BINARY_DIR}"
  LEONORE_GATEWAY_ID=$(read_line "$ROOT/gateway-id")
  [ -n "$LEONORE_GATEWAY_ID" ] || LEONORE_GATEWAY_ID=$(read_line /proc/sys/kernel/hostname)
  export LEONORE_GATEWAY_ID
  if [ "$4" != - ]; then export LEONORE_PREVIOUS_VERSION="$4"; fi
  cd "$LEONORE_BINARY_DIR" || exit 1
  exec "$LEONORE_CONTROL_DIR/$3"
}

limited() { # SECONDS COMMAND...: not every busybox has timeout(1)
  seconds=$1
  shift
  if timeout 5 true 2>/dev/null; then timeout "$seconds" "$@"; else "$@"; fi
}

# Success also when there is no such script.
run_script() { # NAME FOLDER SCRIPT PREVIOUS-VERSION SECONDS
  [ -e "$ROOT/components/$1/$2/control/$1/$3" ] || return 0
  limited "$5" env -i sh "$ROOT/leonore.sh" exec "$1" "$2" "$3" "$4" </dev/null
}
must_run() { # as run_script
  run_script "$@" && return 0
  code=$?
  why="ended with exit code $code"
  if [ "$code" = 124 ] || [ "$code" = 143 ]; then why="did not end within $5 s"; fi
  fail "control/$3 of $1 $(fact "$1" "$2" version) $why"
}

# --- running ---

with_systemd() { [ -d /run/systemd/system ] && command -v systemctl >/dev/null 2>&1; }

start() { # NAME
  folder=$(current "$1")
  restart=$(fact "$1" "$folder" restart)
  [ -n "$restart" ] || return 0
  rm -f "$ROOT/run/$1.ended"
  say "starting $1 $(fact "$1" "$folder" version)"
  if with_systemd; then
    write_unit "$1" "$restart" && systemctl start "leonore-$1.service"
    return
  fi
  if alive "$1"; then return 0; fi
  apart=
  if command -v setsid >/dev/null 2>&1; then apart=setsid; fi
  # Nothing of SWUpdate's stays open in it.
  $apart sh "$ROOT/leonore.sh" supervise "$1" </dev/null >>"$ROOT/logs/$1.log" 2>&1 3>&- 4>&- &
  write_line "$ROOT/run/$1.pid" "$!"
}

stop() { # NAME
  if with_systemd; then
    systemctl stop "leonore-$1.service" 2>/dev/null
    return 0
  fi
  alive "$1" || return 0
  folder=$(folder_of "$1")
  seconds=$(fact "$1" "$folder" stop_timeout)
  seconds=${seconds:-10}
  say "stopping $1 $(fact "$1" "$folder" version)"
  run_script "$1" "$folder" stop - "$seconds" || say "control/stop of $1 failed; stopping without it"
  pid=$(read_line "$ROOT/run/$1.pid")
  signal TERM "$pid"
  end=$(($(uptime_seconds) + seconds))
  while signal 0 "$pid"; do
    if [ "$(uptime_seconds)" -ge "$end" ]; then
      signal KILL "$pid"
      break
    fi
    nap
  done
  rm -f "$ROOT/run/$1.pid" "$ROOT/run/$1.ended"
}

signal() { kill -s "$1" -- "-$2" 2>/dev/null || kill -s "$1" "$2" 2>/dev/null; }

alive() { # NAME
  pid=$(read_line "$ROOT/run/$1.pid")
  [ -n "$pid" ] && tr '\000' ' ' 2>/dev/null <"/proc/$pid/cmdline" | grep -q "leonore.sh supervise $1 \$"
}

# Keeps control/start running as the manifest's "run" says, until it is told to end.
supervise() { # NAME
  folder=$(current "$1")
  restart=$(fact "$1" "$folder" restart)
  stopping=
  trap 'stopping=1' TERM
  (
    trap - TERM
    while sleep 30; do cap_log "$1"; done
  ) &
  capping=$!
  delay=1
  while [ -z "$stopping" ]; do
    began=$(uptime_seconds)
    env -i sh "$ROOT/leonore.sh" exec "$1" "$folder" start - &
    child=$!
    wait "$child"
    code=$?
    if [ -n "$stopping" ]; then break; fi
    write_line "$ROOT/run/$1.ended" "$code"
    if [ "$restart" = never ]; then break; fi
    if [ "$restart" = on-failure ] && [ "$code" = 0 ]; then break; fi
    if [ $(($(uptime_seconds) - began)) -ge 60 ]; then delay=1; fi
    sleep "$delay" &
    wait "$!"
    delay=$((delay * 2))
    if [ "$delay" -gt 300 ]; then delay=300; fi
  done
  kill "$capping" 2>/dev/null
  wait
}
cap_log() { # NAME
  log=$ROOT/logs/$1.log
  if [ "$(wc -c <"$log")" -gt "$MOST_LOG_BYTES" ]; then cp "$log" "$log.1" && : >"$log"; fi
}

unit_folder() { if [ -w /etc/systemd/system ]; then printf /etc/systemd/system; else printf /run/systemd/system; fi; }
write_unit() { # NAME RESTART
  folder=$(current "$1")
  after=
  for need in $(fact "$1" "$folder" needs); do after="$after leonore-$need.service"; done
  if [ "$2" = never ]; then again=no; else again=$2; fi
  unit=$(unit_folder)/leonore-$1.service
  cat >"$unit.new" <<UNIT || return 1
[Unit]
Description=$1 $(fact "$1" "$folder" version) (LEONORE)
After=network.target$after
StartLimitIntervalSec=0

[Service]
ExecStart=/bin/sh $ROOT/leonore.sh run $1
ExecStop=-/bin/sh $ROOT/leonore.sh control $1 stop
ExecStopPost=-/bin/sh $ROOT/leonore.sh ended $1
Restart=$again
RestartSec=1
TimeoutStopSec=$(fact "$1" "$folder" stop_timeout)

[Install]
WantedBy=multi-user.target
UNIT
  mv -f "$unit.new" "$unit" && systemctl daemon-reload || return 1
  systemctl enable "leonore-$1.service" 2>/dev/null || say "cannot be enabled: $1 will not start by itself after a reboot"
}
drop_unit() { # NAME
  with_systemd || return 0
  systemctl disable "leonore-$1.service" 2>/dev/null
  rm -f "/etc/systemd/system/leonore-$1.service" "/run/systemd/system/leonore-$1.service"
  systemctl daemon-reload
}

# Waits until it is healthy, or says why it is not.
healthy() { # NAME
  folder=$(current "$1")
  label="$1 $(fact "$1" "$folder" version)"
  restart=$(fact "$1" "$folder" restart)
  limit=$(fact "$1" "$folder" health_timeout)
  health=$ROOT/components/$1/$folder/control/$1/health
  began=$(uptime_seconds)
  while :; do
    past=$(($(uptime_seconds) - began))
    good=
    if [ -e "$health" ]; then
      if run_script "$1" "$folder" health - "$HEALTH_SECONDS" >"$ROOT/tmp/health" 2>&1; then good=1; fi
    elif [ -z "$restart" ] || [ "$past" -ge "$SETTLE_SECONDS" ]; then
      good=1
    fi
    if [ -e "$ROOT/run/$1.ended" ]; then
      code=$(read_line "$ROOT/run/$1.ended")
      if [ "$restart" != always ] && [ "$code" = 0 ]; then return 0; fi
      last_words "$1" "$ROOT/logs/$1.log"
      fail "$label ended with exit code $code right after its start"
      return 1
    fi
    if [ -n "$good" ]; then return 0; fi
    if [ "$past" -ge "$limit" ]; then
      last_words "$1" "$ROOT/tmp/health"
      fail "$label was not healthy within $limit s"
      return 1
    fi
    nap
  done
}
last_words() { # NAME FILE
  [ -s "$2" ] || return 0
  tail -n 5 "$2" | while read -r line; do printf '%s: %s\n' "$1" "$line" >&2; done
}

# --- switching ---

# The install path of a version leads to it, or, with "off", nowhere.
link_path() { # NAME FOLDER on|off
  path=$(fact "$1" "$2" install_path)
  [ -n "$path" ] || return 0
  if [ "$3" = off ]; then
    case $(readlink "$path" 2>/dev/null) in "$ROOT/components/$1/"*) rm -f "$path" ;; esac
    return 0
  fi
  mkdir -p "${path%/*}/" && ln -sfn "$ROOT/components/$1/$2/binary/$1" "$path"
}
foreign_path() { # PATH: something is there that is not ours
  if [ ! -e "$1" ] && [ ! -L "$1" ]; then return 1; fi
  case $(readlink "$1" 2>/dev/null) in "$ROOT/components/"*) return 1 ;; esac
  return 0
}

switch_to() { # NAME FOLDER, or "" for none
  before=$(current "$1")
  write_line "$ROOT/components/$1/previous" "${before:--}" || return 1
  if [ -n "$before" ]; then link_path "$1" "$before" off; fi
  if [ -z "$2" ]; then
    rm -f "$ROOT/components/$1/current"
  else
    write_line "$ROOT/components/$1/current" "$2" && link_path "$1" "$2" on
  fi
}
switch_back() { # NAME
  now=$(current "$1")
  before=$(previous "$1")
  if [ -n "$now" ]; then link_path "$1" "$now" off; fi
  if [ "$before" = - ]; then
    rm -f "$ROOT/components/$1/current"
    drop_unit "$1"
  else
    write_line "$ROOT/components/$1/current" "$before"
    link_path "$1" "$before" on
  fi
  rm -f "$ROOT/components/$1/previous"
}
under_way() {
  for folder in "$ROOT"/components/*/previous; do
    [ -e "$folder" ] || continue
    folder=${folder%/previous}
    printf '%s ' "${folder##*/}"
  done
}

# Everything that is no longer needed goes; what was removed is uninstalled first, and what needs others before them.
clean_up() {
  for one in $(reversed $(in_order $(under_way))); do
    if [ -n "$(current "$one")" ]; then continue; fi
    folder=$(previous "$one")
    say "removing $one $(fact "$one" "$folder" version)"
    must_run "$one" "$folder" uninstall - "$SCRIPT_SECONDS"
    drop_unit "$one"
    rm -rf "$ROOT/components/$one" "$ROOT/data/$one" "$ROOT/logs/$one.log" "$ROOT/logs/$one.log.1"
  done
  for each in "$ROOT"/components/*/; do
    [ -d "$each" ] || continue
    one=${each%/}
    one=${one##*/}
    for old in "$each"*/; do
      folder=${old%/}
      folder=${folder##*/}
      if [ -d "$old" ] && [ "$folder" != "$(current "$one")" ] && [ "$folder" != "$(coming_folder "$one")" ]; then
        rm -rf "$old"
      fi
    done
    rm -f "${each}previous"
    rmdir "$each" 2>/dev/null
  done
  rm -f "$ROOT/committed"
}

# After a power cut in the middle: to its end, or back to where it came from.
recover() {
  if [ -e "$ROOT/committed" ]; then
    clean_up
    return
  fi
  broken=$(under_way)
  [ -n "$broken" ] || return 0
  say "taking back an update that was broken off: $broken"
  take_back "$broken"
}
take_back() { # NAMES that are under way
  waiting=$(with_dependents $1)
  for one in $(reversed $(in_order $waiting)); do stop "$one"; done
  for one in $1; do switch_back "$one"; done
  for one in $(in_order $waiting); do
    if [ -n "$(current "$one")" ]; then start "$one" || say "$one does not start any more"; fi
  done
}

check() {
  for one in $KEPT; do
    here=$(current "${one%%=*}")
    [ -z "$here" ] || here=$(fact "${one%%=*}" "$here" version)
    if [ "$here" != "${one#*=}" ]; then
      fail "this package expects ${one%%=*} ${one#*=} to be there already, but ${here:-nothing} is"
      return 1
    fi
  done
  for one in $COMING; do
    path=$(coming_path "$one")
    if [ -n "$path" ] && foreign_path "$path"; then
      fail "$path is there already and was not made by LEONORE; move it away, or let $one use another installPath"
      return 1
    fi
  done
}

# SWUpdate does not always notice that a file could not be unpacked, on a full disk for instance.
prepare() {
  mkdir -p "$ROOT/run" "$ROOT/logs" "$ROOT/tmp" || return 1
  { sed '/^# --- this package ---$/,$d' "$0" && printf 'ROOT=%s\n%s\n' "'$ROOT'" "$NO_PACKAGE"; } >"$ROOT/leonore.sh.new" &&
    mv -f "$ROOT/leonore.sh.new" "$ROOT/leonore.sh" || return 1
  for one in $COMING; do
    at=$ROOT/components/$one/$(coming_folder "$one")
    mkdir -p "$at/binary/$one" "$at/control/$one" "$ROOT/data/$one" || return 1
    if command -v sha256sum >/dev/null 2>&1; then
      if ! wrong=$(cd "$at" && files "$one" | sha256sum -c 2>&1); then
        fail "$one was not unpacked whole: $(printf '%s\n' "$wrong" | grep -v ': OK$' | tail -n 3)"
        return 1
      fi
    fi
    describe "$one" >"$at/leonore.component" || return 1
  done
  sync
}

change() {
  fresh=
  for one in $COMING; do
    if [ "$(current "$one")" != "$(coming_folder "$one")" ]; then fresh="$fresh$one "; fi
  done
  going=
  for one in $GOING; do
    if [ -n "$(current "$one")" ]; then going="$going$one "; fi
  done
  stopped=$(with_dependents $fresh $going)
  for one in $(reversed $(in_order $stopped)); do stop "$one"; done
  for one in $going; do switch_to "$one" '' || return 1; done
  for one in $fresh; do switch_to "$one" "$(coming_folder "$one")" || return 1; done
  for one in $fresh; do
    before=$(previous "$one")
    if [ "$before" != - ]; then before=$(fact "$one" "$before" version); fi
    say "installing $one $(fact "$one" "$(current "$one")" version)"
    must_run "$one" "$(current "$one")" install "$before" "$SCRIPT_SECONDS" || return 1
  done
  for one in $(in_order $stopped $(with_dependents $fresh) $COMING); do
    if [ -z "$(current "$one")" ]; then continue; fi
    { start "$one" && healthy "$one"; } || return 1
  done
}

drop_coming() {
  for one in $COMING; do
    folder=$(coming_folder "$one")
    if [ "$folder" != "$(current "$one")" ]; then rm -rf "$ROOT/components/$one/$folder"; fi
    rmdir "$ROOT/components/$one" 2>/dev/null
    if [ ! -d "$ROOT/components/$one" ]; then rm -rf "$ROOT/data/$one"; fi
  done
}

install_package() {
  if prepare && change; then
    : >"$ROOT/committed"
    sync
    clean_up
    say "$PACKAGE is installed"
    return 0
  fi
  say "taking $PACKAGE back"
  take_back "$(under_way)"
  drop_coming
  return 1
}

main() {
  case ${1:-} in
    preinst) { [ ! -e "$ROOT/leonore.sh" ] || recover; } && check || { drop_coming; return 1; } ;;
    postinst) install_package ;;
    exec) exec_script "$2" "$3" "$4" "$5" ;;
    supervise) supervise "$2" ;;
    run) exec env -i sh "$ROOT/leonore.sh" exec "$2" "$(current "$2")" start - ;;
    control) run_script "$2" "$(folder_of "$2")" "$3" - "$(fact "$2" "$(folder_of "$2")" stop_timeout)" ;;
    # systemd says how it ended: a signal's name, or the exit code.
    ended) if [ "${SERVICE_RESULT:-}" != success ] || [ "${EXIT_STATUS:-}" = 0 ]; then write_line "$ROOT/run/$2.ended" "${EXIT_STATUS:-}"; fi ;;
    boot)
      rm -f "$ROOT"/run/*
      recover
      for one in $(in_order $(installed)); do start "$one"; done
      ;;
    start) start "$2" && healthy "$2" ;;
    stop) stop "$2" ;;
    status)
      for one in $(in_order $(installed)); do
        folder=$(current "$one")
        state=installed
        if [ -n "$(fact "$one" "$folder" restart)" ]; then
          state=stopped
          if with_systemd; then
            systemctl is-active -q "leonore-$one.service" && state=running
          elif alive "$one"; then
            state=running
          fi
        fi
        printf '%s %s %s\n' "$one" "$(fact "$one" "$folder" version)" "$state"
      done
      ;;
    # Newer versions of SWUpdate tell of a failure that comes after postinst; there is nothing to do.
    *) return 0 ;;
  esac
}

NO_PACKAGE='PACKAGE= KEPT= COMING= GOING=
coming_folder() { :; }
coming_path() { :; }
describe() { :; }
files() { :; }
main "$@"'
