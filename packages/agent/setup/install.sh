#!/bin/sh
# Makes this machine a gateway of the LEONORE node that this script comes from:
#
#   curl -fsSL @SERVER@/gateway/v1/install.sh | sh -s -- --token TOKEN [options]
#
# It puts the agent there (for a Node of 20.19 or newer), or agent-lite (one shell script) where there is no such Node, has it
# enrol, and has it started at each boot. A second run updates what the first has put there. What it does is said in words; what
# goes wrong too, and then a first installation leaves nothing. See docs/install-an-agent.md.
#
#   LEONORE_PREFIX   everything goes below this folder, which need not be root's, instead of below /
# shellcheck disable=SC2015 # A && B || C is meant
set -u
umask 022

SERVER='@SERVER@'
# Of each file that the node has for gateways: SHA-256 and name.
SUMS='
@SUMS@
'

usage() {
	cat <<-END
		Usage: sh install.sh --token TOKEN [options]
		       sh install.sh --uninstall [--keep-data]

		  --token TOKEN      enrolment token, from: leonore gateway token create. Needed the first time; it is not stored
		  --id ID            id of this gateway (default: the machine's name)
		  --root DIR         folder for everything that the agent keeps (default: /var/lib/leonore-agent)
		  --label KEY=VALUE  label this gateway; may be given again
		  --lite             agent-lite, also where there is a Node
		  --no-service       set it up and enrol, but do not have it started at boot
		  --wait SECONDS     how long enrolling may take (default: 60)
		  --dry-run          say what would be done, and do nothing
		  --uninstall        stop agent and applications and remove everything; --keep-data leaves what they have written

		Options of the agent are put into its configuration: --strategy --poll --long-poll --install-root --facts-dir
		--hardware-ids --application-users --log-level --max-download-rate --download-window --proxy --ca --cert --key
		--allow-host --allow-install-path. LEONORE_ENROLMENT_TOKEN says the token too.
	END
}

say() { printf '%s\n' "$*"; }
fail() {
	say "error: $*" >&2
	exit 1
}
misused() {
	say "error: $*" >&2
	usage >&2
	exit 2
}
has() { command -v "$1" >/dev/null 2>&1; }

# --- what is wanted

read_options() {
	token=${LEONORE_ENROLMENT_TOKEN-} root='' lite='' service=yes dry='' uninstall='' keep='' seconds=60 given=''
	while [ $# -gt 0 ]; do
		option=${1%%=*}
		case $1 in
			--lite | --no-service | --dry-run | --uninstall | --keep-data | --hardware-ids | --help | -h) value=yes && shift ;;
			--*=*) value=${1#*=} && shift ;;
			--*)
				[ $# -gt 1 ] || misused "$1 needs a value"
				value=$2 && shift 2
				;;
			*) misused "\"$1\" is no option" ;;
		esac
		case $value in *"$newline"*) misused "$option has a line break in its value" ;; esac
		case $option in
			--token) token=$value ;;
			--root) root=$value ;;
			--id) set_option id "$value" ;;
			--lite) lite=yes ;;
			--no-service) service='' ;;
			--dry-run) dry=yes ;;
			--uninstall) uninstall=yes ;;
			--keep-data) keep=--keep-data ;;
			--wait)
				case $value in '' | *[!0-9]*) misused "--wait \"$value\" is no number of seconds" ;; esac
				seconds=$value
				;;
			--help | -h) usage && exit 0 ;;
			--server) misused "the node is the one that this script comes from, $SERVER; take the script of another one for that" ;;
			--label | --strategy | --poll | --long-poll | --install-root | --facts-dir | --hardware-ids | --application-users | --log-level | \
				--max-download-rate | --download-window | --proxy | --ca | --cert | --key | --allow-host | --allow-install-path)
				set_option "${option#--}" "$value"
				;;
			*) misused "there is no option $option" ;;
		esac
	done
}

set_option() { given="$given$1=$2$newline"; }

# The value of a setting in the configuration that is there; the first, where there are more.
setting() { sed -n "s/^[[:space:]]*$1[[:space:]]*=[[:space:]]*//p" "$conf" 2>/dev/null | sed -n '1s/[[:space:]]*$//p'; }

# --- what is here

look_around() {
	prefix=${LEONORE_PREFIX-}
	case $prefix in '' | /*) ;; *) fail "LEONORE_PREFIX \"$prefix\" is no absolute path" ;; esac
	prefix=${prefix%/}
	lib=$prefix/usr/local/lib/leonore conf=$prefix/etc/leonore/agent.conf remover=$prefix/usr/local/sbin/leonore-agent-uninstall
	[ -n "$prefix" ] || [ "$(id -u)" = 0 ] ||
		fail 'this takes root: run it with sudo (curl ... | sudo sh -s -- ...), or put all of it below a folder of yours with LEONORE_PREFIX'
	[ "$(uname -s)" = Linux ] || fail "gateways run Linux, and this is $(uname -s)"
	machine="$(uname -s) $(uname -m), $(libc)"
	find_service_manager
	former=$(cat "$lib/kind" 2>/dev/null)
	root=${root:-$(setting root)}
	root=${root:-$prefix/var/lib/leonore-agent}
	case $root in
		/*[!/]*) ;;
		*) fail "--root \"$root\": it is the absolute path of a folder" ;;
	esac
	root=${root%/}
	case $root/ in */../* | */./* | *//*) fail "--root \"$root\": it is a path without . and .. parts" ;; esac
	choose_kind
}

libc() {
	for file in /lib/ld-musl-*; do
		[ ! -e "$file" ] || { say musl && return; }
	done
	say glibc
}

find_service_manager() {
	init=none
	[ ! -d "$prefix/etc/init.d" ] || init=sysv
	[ ! -x "$prefix/sbin/openrc-run" ] || init=openrc
	if [ -d "$prefix/run/systemd/system" ] && has systemctl; then init=systemd; fi
	[ -n "$service" ] || init=none
}

choose_kind() {
	node='' older=''
	for one in "$(command -v node)" "$(command -v nodejs)" /usr/bin/node /usr/local/bin/node /opt/node/bin/node; do
		[ -n "$one" ] && [ -x "$one" ] || continue
		version=$("$one" -p 'process.versions.node' 2>/dev/null) || continue
		if [ "$("$one" -p 'typeof process.getBuiltinModule' 2>/dev/null)" = function ]; then node=$one && break; fi
		older="$version at $one"
	done
	kind=${former:-agent}
	if [ -n "$lite" ]; then kind=lite; elif [ -z "$former" ] && [ -z "$node" ]; then kind=lite; fi
	if [ -n "$former" ] && [ "$former" != "$kind" ]; then
		fail "this gateway has the other agent ($former), and neither reads the folder of the other; run leonore-agent-uninstall first"
	fi
	has sha256sum || fail 'sha256sum is not here; it comes with coreutils and with busybox'
	if [ "$kind" = agent ]; then
		[ -n "$node" ] || fail "the Node.js that the agent ran with is gone; install Node.js 20.19 or newer again"
		return
	fi
	lacking=''
	for tool in awk cut df env find grep gzip mkfifo od paste readlink sed setsid tar timeout tr; do
		has "$tool" || lacking="$lacking $tool"
	done
	[ -z "$lacking" ] && return
	[ -n "$lite" ] || [ -n "$older" ] || older=none
	fail "agent-lite needs what is not here:$lacking${older:+; and for the agent there is no Node.js 20.19 or newer (found: $older)}. Install the one or the other"
}

# --- getting files

fetch() { # NAME FILE; checked by its digest
	sum=$(say "$SUMS" | sed -n "s/^\([0-9a-f]\{64\}\) $1\$/\1/p")
	[ -n "$sum" ] || fail "the node $SERVER does not have $1; on the node, run: npm run build:agent"
	url=$SERVER/gateway/v1/agent/$1
	why=$(download "$url" "$2" 2>&1) ||
		fail "$url cannot be had${why:+ ($why)}. Is the node running, and can this machine reach it there? Behind a proxy, set http_proxy or https_proxy"
	got=$(sha256sum <"$2") got=${got%% *}
	[ "$got" = "$sum" ] ||
		fail "$1 arrived as other bytes than the node has (SHA-256 $got, not $sum); something on the way changes them, or the node was updated this moment: run this again"
}

download() { # URL FILE
	ca=$(say "$given" | sed -n 's/^ca=//p') ca=${ca:-${LEONORE_CA-}}
	if has curl; then
		curl -fsS --connect-timeout 20 --retry 2 ${ca:+--cacert "$ca"} -o "$2" "$1"
	elif has wget; then
		wget -q -T 20 ${ca:+--ca-certificate="$ca"} -O "$2" "$1"
	else
		say 'neither curl nor wget is here'
		return 1
	fi
}

# --- putting them there; what was made is noted first, so that it can be taken away whatever happens

note() {
	if [ -f "$lib/installed" ]; then say "$1" >>"$lib/installed"; else pending="$pending$1$newline"; fi
}

make_folder() { # PATH: with the folders above it that are missing
	[ -d "$1" ] && return
	case $1 in /*/*) make_folder "${1%/*}" ;; esac
	why=$(mkdir "$1" 2>&1) || fail "$1 cannot be made: ${why##*: }$(about_disk "$why")"
	note "$1/"
}

about_disk() {
	case $1 in
		*[Rr]ead-only*) say '. This file system is read-only: make it writable for now, or put the agent elsewhere with LEONORE_PREFIX and --root' ;;
		*[Nn]o\ space*) say '. The disk is full: make room first' ;;
	esac
}

need_space() { # FOLDER kB WHAT
	folder=$1
	while [ ! -d "$folder" ]; do folder=${folder%/*} && folder=${folder:-/}; done
	free=$(df -Pk "$folder" | awk 'NR == 2 { print $4 }')
	[ "${free:-0}" -ge "$2" ] || fail "$folder has $free kB free, and $3 takes $2 kB; make room, or choose another place with ${4:---root}"
}

put() { # FILE PATH MODE; at once, or not at all
	make_folder "${2%/*}"
	[ -e "$2" ] || note "$2"
	why=$({ cp "$1" "$2.new" && chmod "$3" "$2.new" && mv -f "$2.new" "$2"; } 2>&1) && return
	rm -f "$2.new"
	fail "$2 cannot be written: ${why##*: }$(about_disk "$why")"
}

write_configuration() {
	{
		[ -f "$conf" ] || say '# Options of the agent, NAME=VALUE a line; leonore-agent --help explains them. Restart the agent after a change.'
		# What is given now takes the place of what was there.
		names=$(say "server=${newline}root=$newline$given" | sed -n 's/=.*//p' | sort -u)
		if [ -f "$conf" ]; then
			while IFS= read -r line || [ -n "$line" ]; do
				name=$(say "$line" | sed 's/^[[:space:]]*\([a-z-]*\)[[:space:]]*=.*/\1/')
				say "$names" | grep -qxF "$name" || say "$line"
			done <"$conf"
		fi
		say "server=$SERVER"
		say "root=$root"
		printf '%s' "$given" | sed 's/^hardware-ids=.*/hardware-ids=yes/'
	} >"$new/agent.conf"
	put "$new/agent.conf" "$conf" 600
}

fill_in() { # FILE: the paths that it names, as they are here
	sed -e "s|/usr/lib/leonore-agent/leonore-agent|$program|g" -e "s|/etc/leonore/agent.conf|$conf|g" \
		-e "s|^\(Environment=LEONORE_NODE=\).*|\1${node:-node}|" -e "s|@NODE@|${node:-node}|g" "$1" >"$1.filled"
	# What is to be protected lies where the agent keeps its things.
	if { say "$root" && say "$given" | sed -n -e 's/^allow-install-path=//p' -e 's/^install-root=//p'; } | grep -qE '^/(home|root)(/|$)'; then
		grep -v '^ProtectHome=' "$1.filled" >"$1.home" && mv -f "$1.home" "$1.filled"
	fi
}

# --- enrolling and starting

is_enrolled() {
	if [ "$kind" = lite ]; then [ -s "$root/enrolled" ]; else grep -q '"enrolled"' "$root/identity.json" 2>/dev/null; fi
}

# In the foreground of this script, so that its words are heard here; the token is handed over and stored nowhere.
enrol() {
	say "enrolling with $SERVER ..."
	LEONORE_ENROLMENT_TOKEN=$token LEONORE_NODE=$node "$program" --config "$conf" >"$new/log" 2>&1 &
	agent=$! waited=0
	while ! is_enrolled && kill -0 "$agent" 2>/dev/null && [ "$waited" -lt "$seconds" ]; do
		sleep 1
		waited=$((waited + 1))
	done
	kill "$agent" 2>/dev/null
	wait "$agent" 2>/dev/null
	agent=''
	is_enrolled && return
	say 'the agent said last:' >&2
	tail -n 5 "$new/log" | sed 's/^/  /' >&2
	case $(cat "$new/log") in
		*token*) fail 'the node refused the token: it is mistyped, used up, or has ended. Make another with: leonore gateway token create' ;;
		*"another gateway"* | *taken*) fail 'another gateway has this id; give this one its own with --id' ;;
	esac
	fail "it did not enrol within $seconds seconds; look at what it said, and try again (--wait SECONDS gives it longer)"
}

start_service() {
	case $init in
		systemd)
			put "$new/leonore-agent.service.filled" "$prefix/etc/systemd/system/leonore-agent.service" 644
			systemctl daemon-reload && systemctl enable --quiet leonore-agent.service && systemctl restart leonore-agent.service ||
				fail 'systemd did not take the unit; look at: systemctl status leonore-agent'
			sleep 1
			systemctl is-active --quiet leonore-agent.service || fail 'the agent does not stay up; look at: journalctl -u leonore-agent'
			hint='journalctl -u leonore-agent'
			;;
		openrc)
			put "$new/leonore-agent.openrc.filled" "$prefix/etc/init.d/leonore-agent" 755
			rc-update -q add leonore-agent default && rc-service leonore-agent restart || fail 'OpenRC did not start leonore-agent'
			hint='/var/log/leonore-agent.log'
			;;
		sysv)
			put "$new/leonore-agent.init.filled" "$prefix/etc/init.d/leonore-agent" 755
			start_at_boot
			"$prefix/etc/init.d/leonore-agent" restart || fail "$prefix/etc/init.d/leonore-agent does not start the agent"
			hint="$root/logs/agent.log"
			;;
		none) hint='' ;;
	esac
}

start_at_boot() {
	if [ -z "$prefix" ] && has update-rc.d; then
		update-rc.d leonore-agent defaults
	elif [ -z "$prefix" ] && has chkconfig; then
		chkconfig --add leonore-agent
	else
		# busybox: /etc/init.d/rcS runs each S??*.
		link=$prefix/etc/init.d/S99leonore-agent
		[ -e "$link" ] || { note "$link" && ln -s leonore-agent "$link"; }
	fi
}

install() {
	say "this machine: $machine; ${node:+Node.js $version, }service manager: $init"
	case $kind in agent) name='the agent' need=1200 ;; lite) name='agent-lite' need=200 ;; esac
	if [ -n "$former" ]; then say "updating $name in $lib"; else say "installing $name to $lib, its data to $root"; fi
	if ! is_enrolled && [ -z "$token" ]; then
		fail 'no token: a gateway needs one to enrol. Make it with: leonore gateway token create   and give it here with --token TOKEN'
	fi
	if [ -z "$former" ] && [ -d "$root" ] && ! is_enrolled && [ -n "$(ls -A "$root" 2>/dev/null)" ] && [ ! -e "$lib/installed" ]; then
		fail "$root is there already and is no agent's; choose another folder with --root"
	fi
	need_space "$lib" "$need" 'the agent' LEONORE_PREFIX
	need_space "$root" 20480 'an agent with its first application'
	if [ -n "$dry" ]; then
		say 'nothing was done (--dry-run)'
		exit 0
	fi

	pending='' agent='' fresh='' kept=''
	[ -n "$former" ] || fresh=yes
	# What a gateway had before it was installed anew is not ours to take away.
	! is_enrolled || kept=--keep-data
	trap 'give_up $?' EXIT
	trap 'exit 130' INT
	trap 'exit 143' TERM HUP
	new=$lib/.new
	make_folder "$lib"
	if [ ! -f "$lib/installed" ]; then printf '%s' "$pending" >"$lib/installed" || fail "$lib cannot be written"; fi
	rm -rf "$new" && mkdir "$new" || fail "$new cannot be made"
	fetch leonore-agent-uninstall "$new/leonore-agent-uninstall"
	put "$new/leonore-agent-uninstall" "$lib/leonore-agent-uninstall" 755
	{ say "prefix=$prefix" && say "root=$root" && say "init=$init"; } >"$new/settings"
	put "$new/settings" "$lib/settings" 644
	make_folder "${remover%/*}"
	[ -e "$remover" ] || { note "$remover" && ln -s "$lib/leonore-agent-uninstall" "$remover"; }

	case $kind in
		agent) files='leonore-agent leonore-agent.js' program=$lib/leonore-agent ;;
		lite) files='leonore-agent-lite leonore-agent-lite-start' program=$lib/leonore-agent-lite-start ;;
	esac
	for file in $files leonore-agent.service leonore-agent.openrc leonore-agent.init; do fetch "$file" "$new/$file"; done
	for file in $files; do put "$new/$file" "$lib/$file" 755; done
	for file in leonore-agent.service leonore-agent.openrc leonore-agent.init; do fill_in "$new/$file"; done
	[ -d "$root" ] || { make_folder "${root%/*}" && note "$root/" && mkdir -m 755 "$root"; } || fail "$root cannot be made"
	write_configuration
	if is_enrolled; then say 'it is enrolled already'; else enrol; fi
	start_service
	say "$kind" >"$new/kind" && put "$new/kind" "$lib/kind" 644
	rm -rf "$new"
	trap - EXIT
	tell_end
}

tell_end() {
	if [ "$kind" = lite ]; then who=$(sed -n 's/ .*//;1p' "$root/identity"); else who=$(sed -n 's/.*"id": *"\([^"]*\)".*/\1/p' "$root/identity.json" | head -n 1); fi
	say "done: this machine is gateway $who of $SERVER"
	case $init in
		none) say "nothing starts it at boot; have this started: $program --config $conf" ;;
		*) say "it runs now and after each boot; what it says: $hint" ;;
	esac
	say "configuration: $conf; to take it all away: $remover"
}

give_up() { # CODE
	trap - EXIT INT TERM HUP
	[ -z "$agent" ] || { kill "$agent" && wait "$agent"; } 2>/dev/null
	if [ -n "$fresh" ]; then
		say 'taking away what was put there' >&2
		if [ -x "$lib/leonore-agent-uninstall" ]; then
			"$lib/leonore-agent-uninstall" --quiet ${kept:+"$kept"}
		elif [ -f "$lib/installed" ]; then
			rm -rf "$new"
			pending=$(cat "$lib/installed")
			rm -f "$lib/installed"
		fi
		# What was made before there was anything that could take it away.
		say "$pending" | sort -r | while IFS= read -r path; do
			case $path in
				*/) rmdir "$path" 2>/dev/null ;;
				?*) rm -f "$path" ;;
			esac
		done
	else
		rm -rf "$new"
		say 'what ran before was left as it was, as far as it was not replaced yet' >&2
	fi
	exit "$1"
}

remove() {
	if [ -x "$lib/leonore-agent-uninstall" ]; then exec "$lib/leonore-agent-uninstall" ${keep:+"$keep"} ${dry:+--dry-run}; fi
	say "there is no agent in $lib; nothing to remove"
}

# All of it is read before any of it is done: a script that breaks off on its way does nothing.
main() {
	newline='
'
	read_options "$@"
	look_around
	if [ -n "$uninstall" ]; then remove; else install; fi
}
main "$@"
