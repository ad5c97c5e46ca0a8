#!/bin/bash
# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# 75-cert-swap.t -- another certificate is put in place under running sessions: new
# connections see it, nobody loses a packet, nothing restarts; a bad one changes nothing.
. "$(dirname "$0")/../lib/lab.sh"
. "$(dirname "$0")/../lib/certs.sh"
lab_up || bail "no lab"
NAME=vpn.example.test
pki_root RootA && pki_ca InterA RootA && pki_root RootB || bail "no CA: $(cat "$PKI/err")"
pki_cert a1 InterA DNS:$NAME && pki_cert b1 RootB DNS:$NAME || bail "no certificate"
pki_key rsa1 rsa; pki_cert rsa1 InterA DNS:$NAME
pki_key p384 ec384; pki_cert p384 RootB DNS:$NAME

vpnd_up "server { workers = 2  hostname = $NAME }
client_connection { dpd = 5 }" || bail "no vpnd"
LIVE=$LAB/state/certs
own=$(served)
is "first the gateway's own is served" "$own" $NAME
is "the folder is for acmed alone" "$(stat -c %a "$LIVE")" 700
for i in 1 2 3 4 5 6 7 8 9 10; do user_add u$i secret-$i; done
PIN=$(server_pin)
echo "server { workers = 2  port = 9999  hostname = draft }" > "$LAB/tandem.conf"

up=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	client_start u$i@c$i $([ $((i % 2)) = 0 ] && echo --no-dtls)
done
for i in 1 2 3 4 5 6 7 8 9 10; do within 20 client_is_up c$i && up=$((up + 1)); done
is "ten clients, five of them without DTLS" $up 10
for i in 1 3 5 7 9; do within 10 has_dtls c$i; done
for i in 1 2 3 4 5 6 7 8 9 10; do echoes_start c$i; done
pids=$(vpnd_pids | sort | tr '\n' ' ')
logins=$(event_count auth_success)
ids=$(ctl -j sessions | jq -c '[.sessions[] | .id] | sort')

pki_live "$LIVE" a1 InterA
ok "R41 it appears: new connections see its issuer" within 3 served_is InterA
in_client openssl s_client -showcerts -connect $SERVER:443 < /dev/null > "$LAB/shown" 2> /dev/null
ok "R46 the root alone verifies what was shown" in_client openssl s_client -connect $SERVER:443 \
	-CAfile "$PKI/RootA.pem" -verify_return_error -verify_hostname $NAME
is "R46 the whole chain is shown" "$(grep -c 'BEGIN CERT' "$LAB/shown")" 2
is "status tells of it" "$(ctl -j status | jq -r .certificate.source)" live
is "R161 and of its issuer" "$(ctl -j status | jq -r .certificate.issuer)" CN=InterA
is "one event" "$(event_count cert_swapped)" 1
pki_live "$LIVE" b1
ok "it changes" within 3 served_is RootB
pki_live "$LIVE" rsa1 InterA
ok "another kind of key, RSA" within 3 served_is InterA
ok "RSA with TLS 1.2" served_is InterA -tls1_2
pki_live "$LIVE" p384
ok "a larger curve" within 3 served_is RootB
for i in 1 2 3 4 5 6 7 8 9 10; do
	pki_live "$LIVE" $([ $((i % 2)) = 0 ] && echo a1 InterA || echo b1)
	sleep 0.2 # the pace
done
ok "ten more, one after the other" within 3 served_is InterA

# What cannot serve.
n=$(event_count cert_swapped)
for bad in "empty:: > \$f" "text:echo hello > \$f" "no-key:cp $PKI/b1.pem \$f" \
	"foreign-key:cat $PKI/a1.key $PKI/b1.pem > \$f" \
	"cut:cat $PKI/b1.key $PKI/b1.pem | head -c 700 > \$f" \
	"large:head -c 200000 /dev/zero > \$f" "pipe:mkfifo \$f" "link:ln -s $PKI/b1.key \$f" \
	"folder:mkdir \$f"; do
	f=$LIVE/x.tmp
	was=$(event_count cert_refused)
	eval "${bad#*:}"
	[ "${bad%%:*}" = folder ] && rm -f "$LIVE/live.pem"
	mv -T "$f" "$LIVE/live.pem"
	refused_once() { [ "$(event_count cert_refused)" -gt $was ]; }
	ok "${bad%%:*}: refused with an event" within 5 refused_once
done
is "what ran stays" "$(served)" InterA
is "nothing was swapped" "$(event_count cert_swapped)" "$n"
lines() { grep -c 'live.pem refused' "$LAB/vpnd.log"; }
within 3 false
is "each is told of once" "$(lines)" "$(event_count cert_refused)"
rmdir "$LIVE/live.pem"
ok "it goes: our own again" within 5 served_is "$own"
pki_live "$LIVE" a1 InterA
ok "and comes back" within 3 served_is InterA

is "the configuration was not read for it" "$(ctl -j status | jq -r .config_generation)" 1
lost=0
for i in 1 2 3 4 5 6 7 8 9 10; do
	l=$(echoes_lost c$i)
	[ "$l" = 0 ] || { note "c$i: $l"; lost=$((lost + 1)); }
done
is "R41 no echo was lost in any of ten sessions, TLS and DTLS" $lost 0
is "R41 no process was restarted" "$(vpnd_pids | sort | tr '\n' ' ')" "$pids"
is "R41 the same sessions" "$(ctl -j sessions | jq -c '[.sessions[] | .id] | sort')" "$ids"
is "R41 nobody had to log in" "$(event_count auth_success)" "$logins"
is "nobody reconnected" "$(event_count client_reconnected)" 0

# keys dies before, in and after a swap: what is served is always one of the two.
: > "$LAB/mixed"
for i in 1 2 3; do
	vpnd_kill9 keys
	pki_live "$LIVE" $([ $((i % 2)) = 0 ] && echo a1 InterA || echo b1)
	want=$([ $((i % 2)) = 0 ] && echo InterA || echo RootB)
	ok "keys dies in swap $i: the new one is served all the same" within 10 served_is $want
done
vpnd_kill9 worker
pki_live "$LIVE" a1 InterA
both_serve() { for i in 1 2 3 4 5 6; do served_is InterA || return 1; done; }
ok "a worker dies in a swap: both serve the new one" within 10 both_serve
vpnd_stop; : > "$LAB/vpnd.log"
echo garbage > "$LIVE/live.pem"
vpnd_up "server { workers = 2  hostname = $NAME }" || bail "no vpnd"
is "R35 a start with a bad one: our own is served" "$(served)" "$own"
ok "and the log says why" log_has 'live.pem refused'
vpnd_stop
pki_live "$LIVE" b1
vpnd_up "server { workers = 2  hostname = $NAME }" || bail "no vpnd"
is "a start with a good one: it is served from the first" "$(served)" RootB

# The operator's own files win.
cat "$PKI/a1.pem" "$PKI/InterA.pem" > "$LAB/own.pem"
vpnd_reload "server { workers = 2  hostname = $NAME  certificate = $LAB/own.pem  key = $PKI/a1.key }" > /dev/null
is "server.certificate wins over it" "$(served)" InterA
pki_live "$LIVE" p384; within 1 false
is "also when it changes" "$(served)" InterA
echo garbage > "$LAB/own.pem"; pki_live "$LIVE" b1; within 1 false
is "and its file is read at a reload only" "$(served)" InterA
vpnd_reload "server { workers = 2  hostname = $NAME }" > /dev/null
is "without the setting acmed's is served again" "$(served)" RootB

# Another folder in its place, as from a backup; and none.
mkdir -m 755 "$LAB/backup" && pki_live "$LAB/backup" a1 InterA
mv "$LIVE" "$LAB/was" && mv -T "$LAB/backup" "$LIVE"
ok "what is in another folder is served" within 5 served_is InterA
mode_is() { [ "$(stat -c %a "$LIVE")" = 700 ]; }
ok "which is made acmed's alone" within 5 mode_is
pki_live "$LIVE" b1
ok "and heard of" within 3 served_is RootB
rm -rf "$LIVE"
ok "no folder: our own" within 5 served_is "$own"
ok "and it is made again" within 5 mode_is
pki_live "$LIVE" b1
ok "and heard of" within 3 served_is RootB

# ---- tls-alpn-01
openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -subj /CN=challenge \
	-keyout "$PKI/ch.key" -out "$PKI/ch.pem" -days 1 -addext "subjectAltName=DNS:$NAME" \
	-addext "1.3.6.1.5.5.7.1.31=critical,DER:0420$(openssl rand -hex 32)" 2> /dev/null
alpn() { # NAME PROTOCOL [options]
	in_client timeout 5 openssl s_client -connect $SERVER:443 -servername $1 -alpn $2 "${@:3}" \
		< /dev/null > "$LAB/alpn.txt" 2>&1
}
shown_cn() { openssl x509 -noout -subject -nameopt multiline < "$LAB/alpn.txt" 2> /dev/null | sed -n 's/ *commonName *= //p'; }
challenge_shown() { alpn $NAME acme-tls/1 "$@"; [ "$(shown_cn)" = challenge ]; }
fails "acme-tls/1 without a challenge: refused" alpn $NAME acme-tls/1
like "... with the alert for it" "$(cat "$LAB/alpn.txt")" 'no application protocol|alert number 120'
cat "$PKI/ch.key" "$PKI/ch.pem" > "$LIVE/x.tmp"; mv "$LIVE/x.tmp" "$LIVE/alpn-$NAME.pem"
ok "a challenge is shown to who asks for it" within 3 challenge_shown
like "... the protocol is selected" "$(cat "$LAB/alpn.txt")" 'ALPN protocol: acme-tls/1'
ok "... with TLS 1.2" challenge_shown -tls1_2
ok "... whatever the case of the name" alpn VPN.Example.TEST acme-tls/1
both_show() { local i; for i in 1 2 3 4 5 6; do challenge_shown || return 1; done; }
ok "... by every worker" both_show
fails "another name: refused" alpn other.example.test acme-tls/1
alpn $NAME http/1.1
is "another protocol: the usual certificate" "$(shown_cn)" b1
is "no protocol: the usual certificate" "$(served -servername $NAME)" RootB
# The connection ends after the handshake: a request gets no answer.
(printf 'GET / HTTP/1.1\r\nHost: x\r\n\r\n'; sleep 1) | in_client timeout 5 openssl s_client -quiet \
	-connect $SERVER:443 -servername $NAME -alpn acme-tls/1 > "$LAB/alpn.txt" 2>&1
unlike "nothing is served on that connection" "$(cat "$LAB/alpn.txt")" 'HTTP/1.1'
vpnd_kill9 worker
ok "a worker's successor has the challenge too" within 10 both_show
rm "$LIVE/alpn-$NAME.pem"
gone() { ! alpn $NAME acme-tls/1; }
ok "the file goes: refused again" within 3 gone
is "nothing died of it" "$(event_count process_died '.reason | test("signal 9") | not')" 0
