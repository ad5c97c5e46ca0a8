#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 74-acme-challenges.t -- each kind of challenge with another implementation of the
# authority, caddy; and what strangers find who come for answers. (74-acme-dns has dns-01.)
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/acme.sh"
command -v caddy > /dev/null || { plan 0; exit 0; }
lab_up || bail "no lab"
ca_keys && hasync_up || bail "no store"
caddy_up || bail "no caddy"
config() { # LINES of section certificate
	echo "server { hostname = \"vpn.test\" backup_hostname = \"vpn2.test\" workers = 1 }
certificate {
ca_file = \"$LAB/trust.pem\"
agree_tos = true
without_ddns = true
$1
}"
}
hactl() { "$LAB_ROOT/tests/lib/hactl" "$LAB/run/hasync.sock" "$@"; }
put() { hactl put "$@"; }
shown() { in_client openssl s_client -connect $SERVER:443 -servername vpn.test "$@" < /dev/null 2> /dev/null; }

vpnd_up "$(config "directory = \"$CADDY\" challenge = tls-alpn-01")" || bail "no vpnd"
acmed_up || bail "no acmed"
ok "caddy: enrolled by tls-alpn-01, both names" within 20 acme_is live
is "and served" "$(shown | openssl x509 -noout -serial | sed s/.*=//)" "$(serial)"
first=$(serial)
vpnd_reload "$(config "directory = \"$CADDY\" challenge = http-01 key_type = rsa2048")" > /dev/null
ok "caddy: enrolled by http-01" within 20 serial_is_not $first
ok "without an authorization left over" grep -q 'challenge http-01 for vpn2.test' $LAB/acmed.log
caddy_down
is "nothing is left of the challenges" "$(ls $LAB/state/certs)$(hactl list acme/challenge/)" live.pem

# ---- strangers, while challenges are open

vpnd_reload "$(config "directory = \"$ACME_DIR\" method = self-signed")" > /dev/null
within 3 acme_is off
token=AbC-_123 digest=$(printf 'test' | sha256sum | cut -d' ' -f1)
put acme/challenge/one '{"type":"http-01","name":"vpn.test","token":"'$token'","answer":"'$token'.thumb"}' > /dev/null
put acme/challenge/two '{"type":"tls-alpn-01","name":"vpn.test","digest":"'$digest'"}' > /dev/null
put acme/challenge/bad '{"type":"tls-alpn-01","name":"../../etc/x","digest":"'$digest'"}' > /dev/null
web() { in_client curl -s --max-time 3 "$@"; }
url=http://$SERVER/.well-known/acme-challenge
ok "the answer is at port 80 of the uplink" within 3 web -f $url/$token
is "exactly it" "$(web $url/$token)" $token.thumb
is "by IPv6 as well" "$(web -g "http://[2001:db8:1::10]/.well-known/acme-challenge/$token")" $token.thumb
like "with a plain type" "$(web -I $url/$token)" 'Content-Type: application/octet-stream'
code() { web -o /dev/null -w '%{http_code}' "$@"; }
is "another token is not there" "$(code $url/other)" 404
is "nor is anything else" "$(code http://$SERVER/) $(code $url/) $(code --path-as-is $url/../../etc/passwd) $(code -d x $url/$token)" "404 404 404 404"
like "a head of 100 KB is refused" "$(code -H "X: $(head -c 100000 /dev/zero | tr '\0' a)" $url/$token)" '^(431|000)$'
is "noise is" "$(head -c 3000 /dev/urandom | in_client timeout 3 socat -t 2 - TCP:$SERVER:80 | head -c 12)" 'HTTP/1.1 400'
for i in $(seq 80); do bg_ns c1 socat -u TCP:$SERVER:80 /dev/null 2> /dev/null; done
ok "80 who say nothing do not keep it from answering" within 1 web -f $url/$token
is "the LAN has no port 80" "$(in_lan curl -s --max-time 1 -o /dev/null -w '%{http_code}' http://10.10.0.1/)" 000
alpn() { shown -alpn acme-tls/1 | openssl x509 -noout -text; }
like "by TLS the throw-away certificate has the digest" "$(alpn | tr -d ' :\n' | tr A-F a-f)" "0420|1.3.6.1.5.5.7.1.31critical"
like "only for ALPN acme-tls/1" "$(shown -alpn http/1.1 | openssl x509 -noout -text)" 'Server Authentication|vpn'
unlike "others see nothing of it" "$(shown | openssl x509 -noout -text)" '1.3.6.1.5.5.7.1.31'
is "a name that is none makes no file" "$(ls $LAB/state/certs | grep -c alpn)" 1
for o in one two bad; do hactl remove acme/challenge/$o > /dev/null; done
closed() { [ -z "$(in_gateway ss -Hltn 'sport = :80')" ] && ! ls $LAB/state/certs | grep alpn; }
ok "with the challenges all of it goes" within 3 closed
