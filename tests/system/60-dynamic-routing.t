#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 60-dynamic-routing.t -- routing by domain for those clients that can, the two halves
# of local LAN access, timers per platform, a profile under both names of its hash.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
CONFIG='server { workers = 2 }
client_connection { dpd = 5  dpd_mobile = 77 }
addressing { suffix = "corp.example" dns = { "10.10.0.53" } '
vpnd_up "$CONFIG }" || bail "no vpnd"
user_add alice secret-a
# The log hides the value, the environment of the script has it.
attribute() { sed -n "s/^\(CISCO_CSTP_OPTIONS=\)\{0,1\}X-CSTP-Post-Auth-XML=//p" $LAB/c1.env; }
as() { client_up alice --os=$1; }

ok "Windows connects" as win
is "R121 without domains: no attribute" "$(attribute)" ""
client_down
xml() { echo "<?xml version=\"1.0\" encoding=\"UTF-8\"?><config-auth client=\"vpn\" type=\"complete\" aggregate-auth-version=\"2\"><config client=\"vpn\" type=\"private\"><opaque is-for=\"vpn-client\"><custom-attr><dynamic-split-$1-domains><![CDATA[$2]]></dynamic-split-$1-domains></custom-attr></opaque></config></config-auth>"; }
ok "R117 exclude by domain" vpnd_reload "$CONFIG dynamic = \"exclude\" domains = { \"webex.com\", \"example.net\" } }"
ok "R117 Windows connects" as win
is "R117 Windows gets the domains, in one line" "$(attribute)" "$(xml exclude webex.com,example.net)"
is "R120 exclude without static rules: a full tunnel" "$(client_env CISCO_SPLIT_INC)$(client_env CISCO_SPLIT_EXC)" ""
is "R103 a full tunnel: the suffix limits nothing" "$(client_env CISCO_SPLIT_DNS)" ""
is "R102 the suffix is the default domain" "$(client_env CISCO_DEF_DOMAIN)" corp.example
client_down
ok "R117 macOS connects" as mac-intel
like "R117 macOS gets them, too" "$(attribute)" 'webex\.com,example\.net'
client_down
for os in linux-64 android apple-ios; do
	ok "R121 $os connects" as $os
	is "R121 $os: the attribute is absent" "$(attribute)" ""
	[ $os = linux-64 ] && want=5 || want=77
	is "the DPD time of $os" "$(header X-CSTP-DPD)" $want
	client_down
done

ok "R120 exclude with static rules" vpnd_reload "$CONFIG routing = \"exclude\" destinations = { \"192.0.2.0/24\" } dynamic = \"exclude\" domains = { \"webex.com\" } }"
ok "R120 connects" as win
is "R120 has the static rule" "$(client_env CISCO_SPLIT_EXC_0_ADDR)" 192.0.2.0
is "R120 and the domains" "$(attribute)" "$(xml exclude webex.com)"
client_down
ok "R120 include with static rules" vpnd_reload "$CONFIG routing = \"include\" destinations = { \"10.10.0.0/24\" } dynamic = \"include\" domains = { \"cisco.com\" } }"
ok "R120 connects" as mac-intel
is "R120 has the static rule" "$(client_env CISCO_SPLIT_INC)/$(client_env CISCO_SPLIT_INC_0_ADDR)" 1/10.10.0.0
is "R117 R118 and the domain, for itself and what is under it" "$(attribute)" "$(xml include cisco.com)"
is "R103 split include: the suffix is limited to it" "$(client_env CISCO_SPLIT_DNS)" corp.example
client_down
ok "R120 include without static rules" vpnd_reload "$CONFIG dynamic = \"include\" domains = { \"cisco.com\" } }"
ok "R120 Windows connects" as win
is "R120 only itself is in the tunnel" "$(client_env CISCO_SPLIT_INC)/$(client_env CISCO_SPLIT_INC_0_ADDR)/$(client_env CISCO_SPLIT_INC_0_MASKLEN)" "1/$(inner4)/32"
is "R120 and what the domains bring" "$(attribute)" "$(xml include cisco.com)"
client_down
ok "R121 Linux sends everything" as linux-64
is "R121 nothing is split" "$(client_env CISCO_SPLIT_INC)" ""
client_down

check() { echo "$1" > $LAB/check.conf; ctl config check "$LAB/check.conf"; }
text='The AnyConnect traffic destination (Dynamic Client Routing) must contain at least one valid destination.'
for mode in include exclude; do
	out=$(check "addressing { dynamic = \"$mode\" }" 2>&1); rc=$?
	ok "R119 $mode, empty: refused" test $rc != 0
	ok "R119 $mode, empty: exactly this text" eval 'grep -q -F ": $text" <<< "$out"'
	fails "R119 $mode, empty: not by reload either" vpnd_reload "$CONFIG dynamic = \"$mode\" }"
done
out=$(check 'addressing { dynamic = "include" domains = { "*.cisco.com" } }' 2>&1); rc=$?
ok "R118 *.cisco.com is refused" test $rc != 0
like "R118 with its name and the rule" "$out" 'addressing\.domains: "\*\.cisco\.com" is not allowed: .*everything under it \(no wildcard\)'
ok "R118 cisco.com is not" check 'addressing { dynamic = "include" domains = { "cisco.com" } }'
ok "R119 the running configuration stays" as win
like "R119 with its domain" "$(attribute)" 'cisco\.com'
client_down

# The profile's half of local LAN access, when it is a file.
profile() { # LocalLanAccess
	echo "<AnyConnectProfile><ClientInitialization>$1</ClientInitialization></AnyConnectProfile>" > $LAB/p.xml
	check "client_connection { profile = \"$LAB/p.xml\" }
	addressing { routing = \"exclude\" destinations = { \"0.0.0.0/32\" } }" 2>&1
}
like "R124 a profile without the flag: a warning" "$(profile '')" 'warning.*LocalLanAccess'
like "R124 a profile with false: a warning" "$(profile '<LocalLanAccess>false</LocalLanAccess>')" 'warning.*LocalLanAccess'
unlike "R124 with the flag: none" "$(profile '<LocalLanAccess UserControllable="true">true</LocalLanAccess>')" 'warning'
ok "R123 0.0.0.0/32 is accepted" vpnd_reload "$CONFIG routing = \"exclude\" destinations = { \"192.0.2.0/24\", \"0.0.0.0/32\" } }"
ok "R123 connects" as win
is "R123 it is first in the answer, and once" "$(sed -n 's/.*X-CSTP-Split-Exclude: //p' $LAB/c1.log | tr '\n' ' ')" \
	"0.0.0.0/255.255.255.255 192.0.2.0/255.255.255.0 "
like "R123 the client has it" "$(client_env CISCO_SPLIT_EXC_0_ADDR) $(client_env CISCO_SPLIT_EXC_1_ADDR)" '(^| )0\.0\.0\.0'
client_down

ok "R34 with a name that stays" vpnd_reload "server { workers = 2 hostname = \"vpn.example.com\" }"
ok "R34 connects" client_up alice
is "R34 nothing to resolve again" "$(header X-CSTP-DynDNS)" ""
is "R34 and nothing excluded" "$(header X-CSTP-Split-Exclude)$(header X-CSTP-Split-Exclude-IP6)" ""
client_down
ok "R34 with a name that may move" vpnd_reload "server { workers = 2 hostname = \"vpn.example.com\" } ddns wan1 { address = { 203.0.113.99 } }"
ok "R34 connects" client_up alice
is "R34 the client resolves its name again when it comes back" "$(header X-CSTP-DynDNS)" true
is "R34 the address outside of a NAT stays outside of the tunnel, too" "$(header X-CSTP-Split-Exclude)" 203.0.113.99/255.255.255.255
client_down
echo '<AnyConnectProfile><ServerList/></AnyConnectProfile>' > $LAB/p.xml; chmod 755 $LAB; chmod 644 $LAB/p.xml
ok "R107 a profile" vpnd_reload "server { workers = 2 } client_connection { banner = \"Hello\" profile = \"$LAB/p.xml\" }"
answer=$(raw_login alice secret-a -i)
sum=$(sha1sum < $LAB/p.xml | cut -d' ' -f1)
uri=$(grep -o '<uri>[^<]*' <<< "$answer" | sed 's/.*>//')
is "R107 its hash in the cookie is its SHA-1" "$(grep -o 'fh:[0-9A-Fa-f]*' <<< "$answer" | head -n 1 | tr A-F a-f)" "fh:$sum"
like "R107 and in the document" "$(tr -d '\n' <<< "$answer" | tr A-F a-f)" "<hash[^>]*>$sum<"
token=$(grep -o '<session-token>[^<]*' <<< "$answer" | sed 's/.*>//')
for path in "$uri" "/${uri#/}" "/$(sed 's|^/||; s|/|%2F|g' <<< "$uri")"; do
	is "R107 R108 $path has that hash" "$(https "$path" --path-as-is -H "Cookie: webvpn=$token" | sha1sum | cut -d' ' -f1)" "$sum"
done
is "R110 nobody else gets it" "$(https_code "$uri" -H 'Cookie: webvpn=none')" 404
like "R104 the banner is in the document" "$answer" '<banner>Hello</banner>'
is "R104 and in the tunnel's answer" "$(raw_connect "$token" | sed -n 's/^X-CSTP-Banner: //p')" Hello
