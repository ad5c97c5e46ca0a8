#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 21-profile.t -- the client profile: pushed at login, fetched with a session only.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/raw.sh"
lab_up || bail "no lab"
cat > $LAB/profile.xml <<'XML'
<?xml version="1.0" encoding="UTF-8"?>
<AnyConnectProfile xmlns="http://schemas.xmlsoap.org/encoding/">
 <ServerList><HostEntry><HostName>Office</HostName><HostAddress>vpn.example.com</HostAddress></HostEntry></ServerList>
</AnyConnectProfile>
XML
chmod 644 $LAB/profile.xml; chmod 755 $LAB
CONFIG="client_connection { profile = \"$LAB/profile.xml\" }"
vpnd_up "$CONFIG" || bail "no vpnd"
user_add alice secret-a

answer=$(raw_login alice secret-a -i)
uri=$(grep -o '<uri>[^<]*' <<< "$answer" | sed 's/.*>//')
hash=$(tr -d '\n' <<< "$answer" | grep -o '<hash[^<]*' | sed 's/.*>//')
token=$(grep -o '<session-token>[^<]*' <<< "$answer" | sed 's/.*>//')
like "R107 the login's answer names the file" "$uri" '^/.*\.xml$'
is "R107 and its hash" "${hash,,}" "$(sha1sum < $LAB/profile.xml | cut -d' ' -f1)"
like "R107 the webvpnc cookie has it, too" "$answer" "fh:${hash}"
is "R107 with the session it is served unchanged" \
	"$(https "$uri" -H "Cookie: webvpn=$token" | sha1sum | cut -d' ' -f1)" "${hash,,}"
is "R107 also in the spelling openconnect uses" \
	"$(https "/${uri#/}" --path-as-is -H "Cookie: webvpn=$token" -o /dev/null -w '%{http_code}')" 200
u=${uri#/}
is "R107 ... with an encoded slash" "$(https_code "/${u//\//%2F}" -H "Cookie: webvpn=$token")" 200
like "R110 without a session it is not" "$(https_code "$uri")" '^40[14]$'
like "R110 nor with a false one" "$(https_code "$uri" -H "Cookie: webvpn=${token%????}AAAA")" '^40[14]$'
ok "R107 openconnect is content" client_up alice
client_down

sed -i 's/Office/Headquarters/' $LAB/profile.xml
ok "R108 the file changes, reload" vpnd_reload "$CONFIG"
answer=$(raw_login alice secret-a -i)
new=$(tr -d '\n' <<< "$answer" | grep -o '<hash[^<]*' | sed 's/.*>//')
is "R108 the hash is the new file's" "${new,,}" "$(sha1sum < $LAB/profile.xml | cut -d' ' -f1)"

echo '<UmbrellaProfile/>' > $LAB/umbrella.xml
fails "R109 another type of profile is refused" vpnd_reload "client_connection { profile = \"$LAB/umbrella.xml\" }"
ok "without a profile, with a name: one is made" vpnd_reload 'server { hostname = "vpn.example.com" }
client_connection { profile_alias = "Main & only" }'
answer=$(raw_login alice secret-a -i)
uri=$(grep -o '<uri>[^<]*' <<< "$answer" | sed 's/.*>//')
token=$(grep -o '<session-token>[^<]*' <<< "$answer" | sed 's/.*>//')
p=$(https "$uri" -H "Cookie: webvpn=$token")
like "R32 it has the alias" "$p" '<HostName>Main &amp; only</HostName>'
like "R32 and the name" "$p" '<HostAddress>vpn\.example\.com</HostAddress>'
unlike "R31 one name: no backup" "$p" 'BackupServerList'
ok "R31 with a second name" vpnd_reload 'server { hostname = "vpn.example.com" backup_hostname = "vpn2.example.com" }
client_connection { profile_alias = "Main & only" }'
token=$(raw_login alice secret-a -i | grep -o '<session-token>[^<]*' | sed 's/.*>//')
p=$(https "$uri" -H "Cookie: webvpn=$token" | tr -d '\n')
like "R31 WAN1's name is the address, WAN2's its backup" "$p" '<HostEntry><HostName>Main &amp; only</HostName><HostAddress>vpn\.example\.com</HostAddress><BackupServerList><HostAddress>vpn2\.example\.com</HostAddress></BackupServerList><PrimaryProtocol>'
printf '%s' "$p" > $LAB/made.xml
ok "R31 it is one document" python3 -c "import xml.dom.minidom,sys; xml.dom.minidom.parse('$LAB/made.xml')"
# openconnect reads such files, too: it dials the address behind the alias.
like "R32 a client finds the gateway by its alias" "$(in_client timeout 10 openconnect --xmlconfig $LAB/made.xml --resolve vpn.example.com:192.0.2.10 --non-inter 'Main & only' -v < /dev/null 2>&1)" 'Connected to 192\.0\.2\.10:443|POST https://vpn\.example\.com'
