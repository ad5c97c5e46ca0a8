#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 64-explain.t -- the settings as an administrator finds them: in three groups, each
# with its limit and default; a wrong value is refused by name, value and rule.
. "$(dirname "$0")/../lib/lab.sh"
lab_up || bail "no lab"
vpnd_up 'server { workers = 2 }
group "staff" { label = "Staff" }' || bail "no vpnd"

is "R173 three groups" "$(ctl -j settings | jq -c '.groups | keys_unsorted')" \
	'["client connection","addressing and routing","authentication and policy"]'
setting() { ctl -j settings | jq -c "[.groups[][] | select(.setting == \"$1\")][0].value"; }
is "R173 what is set is in one of them" "$(setting server.workers)" '"2"'
is "R173 a default, too" "$(setting authentication.session_timeout)" '"8 hours"'
is "R173 a group's option by the group's name" "$(setting group.staff.label)" '"Staff"'
is "R173 a list" "$(setting addressing.domains)" '[]'
in_group() { ctl explain -j | jq -r ".[] | select(.setting == \"$1\").group"; }
is "R173 the port is of the client connection" "$(in_group server.port)" "client connection"
is "R173 the pool is of addressing" "$(in_group addressing.subnet)" "addressing and routing"
is "R173 the timeout is of authentication" "$(in_group authentication.session_timeout)" "authentication and policy"
like "R173 as text" "$(ctl settings | tr '\n' ' ')" '^client connection .*addressing and routing .*authentication and policy '

# The numbers of the requirements. Left: row, setting, key; right: value.
ctl explain -j > $LAB/explain.json
while read -r row name key want; do
	is "$row R178 $name: $key" "$(jq -r ".[] | select(.setting == \"$name\").$key" $LAB/explain.json)" "$want"
done <<- 'TABLE'
	R3 fixed.tls_min default 1.2
	R4 server.tls_max default 1.3
	R6 fixed.dtls_min default 1.2
	R9 fixed.client_version_min default 4.8
	R11 server.enabled default true
	R12 server.port default 443
	R12 server.port max 65535
	R14 wan.type default wired
	R15 wan.nat default true
	R37 certificate.method default auto
	R94 fixed.client_netmask default 255.255.255.255
	R111 addressing.routing default all
	R116 fixed.exclude_platforms default all but Android
	R117 addressing.dynamic default off
	R121 fixed.dynamic_platforms default Windows, macOS
	R123 client_connection.local_lan_access default false
	R125 authentication.session_timeout default 8 hours
	R125 fixed.session_timeout_presets default 8 hours, 1 day, 7 days
	R126 authentication.session_timeout max 921600
	R126 authentication.session_timeout min 1
	R143 server.session_limit default 1500
	R143 server.model default
	R143 server.model limits.MX450 1500
	R143 server.model limits.MX250 1000
	R143 server.model limits.MX105 750
	R143 server.model limits.MX100 250
	R143 server.model limits.MX95 500
	R143 server.model limits.MX85 250
	R143 server.model limits.MX84 100
	R143 server.model limits.MX75 250
	R143 server.model limits.MX67 100
	R143 server.model limits.MX68 100
	R143 server.model limits.MX64 50
	R143 server.model limits.MX65 50
	R143 server.model limits.Z3 5
	R143 server.model limits["vMX-S"] 100
	R143 server.model limits["vMX-M"] 250
	R143 server.model limits["vMX-L"] 500
	R143 server.model limits.vMX100 250
	R143 server.model limits.MX600 1000
	R143 server.model limits.MX400 750
	R146 server.model limits.Z4 100
	R146 server.model limits.Z4C 100
	R176 fixed.licence default none
TABLE
# As text the same numbers stand.
text=$(ctl explain)
like "R178 as text: the limit of 256 hours" "$text" 'session_timeout [^'$'\n'']*"8 hours"[^'$'\n'']*256 hours'
like "R178 as text: the default of 1500" "$text" 'session_limit [^'$'\n'']*"1500" sessions'
like "R178 as text: a model" "$text" 'server\.model = vMX-L +500 sessions'
is "R178 config explain is the same" "$(ctl config explain | md5sum)" "$(md5sum <<< "$text")"
n=$(jq 'length' $LAB/explain.json)
is "R178 every row has a default and a meaning" "$(jq '[.[] | select(has("default") and (.help | length > 5))] | length' $LAB/explain.json)" "$n"

: > $LAB/n.conf
for m in auto custom self-signed; do
	echo "certificate { method = $m }" > $LAB/m.conf
	ok "R36 the method $m" ctl config check $LAB/m.conf --node $LAB/n.conf
done
echo 'certificate { method = letsencrypt }' > $LAB/m.conf
fails "R36 no other method" ctl config check $LAB/m.conf --node $LAB/n.conf

# Each option gets a value that breaks its rule.
bad() { # TYPE
	case $1 in
	boolean) echo perhaps ;;
	number) echo 99999999999 ;;
	duration) echo "9999 days" ;;
	word | model) echo zzz ;;
	name | "list of names") echo '*.example.com' ;;
	file | address) echo not/here ;;
	interface) echo 'a b' ;;
	subnet | "list of subnets") echo 10.0.0.0/33 ;;
	"list of addresses") echo 300.1.1.1 ;;
	"list of servers") echo "a b" ;;
	"mail address") echo nobody ;;
	text) printf 'x%.0s' {1..5000} ;;
	esac
}
routing='The AnyConnect traffic destination (Client Routing) must contain at least one valid subnet in CIDR format.'
count=0
while IFS=$'\t' read -r name type file; do
	value=$(bad "$type"); section=${name%%.*} option=${name#*.} path=$name
	case $section in
	wan | group) title=' "x1"' path=$section.x1.$option ;;
	ddns) title=' "wan1"' path=$section.wan1.$option ;; # only uplinks have one
	*) title= ;;
	esac
	: > $LAB/m.conf; : > $LAB/n.conf
	[ $file = tandem.conf ] && to=$LAB/m.conf || to=$LAB/n.conf
	case $type in list*) v="{ \"$value\" }" ;; *) v="\"$value\"" ;; esac
	echo "$section$title { $option = $v }" > $to
	out=$(ctl config check $LAB/m.conf --node $LAB/n.conf 2>&1); rc=$?
	[ $name = addressing.destinations ] && want="$path: $routing" ||
		want="$path: \"${value:0:48}"
	[ $rc != 0 ] && grep -qF -- "$want" <<< "$out" && grep -qE 'must (be|contain) [^ ]' <<< "$out"
	is "R177 $path: refused by name, value and rule" $? 0 || note "${out:0:300}"
	out=$(echo "$section$title { ${option}x = 1 }" > $to; ctl config check $LAB/m.conf --node $LAB/n.conf 2>&1); rc=$?
	[ $rc != 0 ] && grep -qF "$section.${option}x: no such option" <<< "$out"
	is "R177 $section.${option}x: no such option" $? 0 || note "${out:0:300}"
	count=$((count + 1))
done < <(jq -r '.[] | select(.group != "fixed") | [.setting, .type, .file] | @tsv' $LAB/explain.json)
ok "R177 that was every option ($count)" test $count -ge 44
is "R177 what runs is as it was" "$(setting server.workers)" '"2"'
