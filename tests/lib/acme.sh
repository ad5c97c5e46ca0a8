# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# acme.sh -- sourced after lab.sh: certificate authorities for acmed, and acmed (bash).
#
# blocked.test is refused by pebble (its list must not have more labels than a name).
# The authorities are in the namespace wan, at 192.0.2.1; pebble validates at the real
# ports 80 and 443. Every name is 192.0.2.10, the gateway, unless dns_set says otherwise.
#
# Authority  ca_keys: the key and certificate of its TLS, ca.pem to trust
#            pebble_up [VAR=VALUE...] [KEY=JSON-VALUE...]: variables of pebble's in
#            capitals, settings of its configuration file in small letters; pebble_down;
#            pebble_root [N]: the root it issues from, new at each start
#            dns_up, dns_set NAME ADDRESS, txt_set NAME VALUE, txt_clear NAME
#            caddy_up, caddy_down: another implementation, directory $CADDY
# Gateway    acmed_fresh CONFIG: with an empty store; acme_ok JSON; acme_is STATE;
#            acme_get KEY: of the status; acme_text; acme_log_has RE; store_get OBJECT
#            serial: of live.pem; leaf FIELD...: openssl x509 of live.pem

ACME_DIR=https://192.0.2.1:14000/dir
for lab_p in pebble pebble-challtestsrv curl python3; do
	command -v $lab_p > /dev/null || { echo "1..0 # SKIP no $lab_p: deploy/setup test"; exit 0; }
done

# ---- authorities ------------------------------------------------------------

ca_keys() {
	openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 30 -subj /CN=test-ca \
		-keyout "$LAB/tlsca.key" -out "$LAB/tlsca.pem" \
		-addext keyUsage=critical,keyCertSign,cRLSign 2> /dev/null &&
	openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=acme \
		-keyout "$LAB/acme.key" -out "$LAB/acme.csr" 2> /dev/null &&
	openssl x509 -req -in "$LAB/acme.csr" -CA "$LAB/tlsca.pem" -CAkey "$LAB/tlsca.key" \
		-set_serial 1 -days 30 -out "$LAB/acme.pem" \
		-extfile <(echo subjectAltName=IP:192.0.2.1,DNS:localhost,DNS:acme.test) 2> /dev/null &&
	cp "$LAB/tlsca.pem" "$LAB/trust.pem" && chmod 644 "$LAB/trust.pem"
}
wan_curl() { in_wan curl -s --max-time 5 --cacert "$LAB/tlsca.pem" "$@"; }
dns_up() {
	bg_ns wan pebble-challtestsrv -defaultIPv4 192.0.2.10 -defaultIPv6 "" \
		-dns01 127.0.0.1:8053 -http01 "" -https01 "" -tlsalpn01 "" \
		-management 127.0.0.1:8055 > "$LAB/dns.log" 2>&1
	within 15 wan_curl -X POST -d '{"host":"x.test"}' http://127.0.0.1:8055/clear-a
}
dns_set() { wan_curl -X POST -d '{"host":"'$1'"}' http://127.0.0.1:8055/clear-a; wan_curl -X POST -d '{"host":"'$1'","addresses":["'$2'"]}' http://127.0.0.1:8055/add-a; }
txt_set() { wan_curl -X POST -d '{"host":"'$1'.","value":"'$2'"}' http://127.0.0.1:8055/set-txt; }
txt_clear() { wan_curl -X POST -d '{"host":"'$1'."}' http://127.0.0.1:8055/clear-txt; }
pebble_up() { # [VAR=VALUE...] [KEY=JSON...]
	local a env=(PEBBLE_VA_NOSLEEP=1 PEBBLE_WFE_NONCEREJECT=0) set='.'
	for a; do
		case $a in
		[A-Z]*) env+=("$a") ;;
		*) set="$set | .pebble.${a%%=*} = ${a#*=}" ;;
		esac
	done
	jq "$set" > "$LAB/pebble.json" <<-EOT || return 1
		{ "pebble": { "listenAddress": "192.0.2.1:14000",
		  "managementListenAddress": "192.0.2.1:15000",
		  "certificate": "$LAB/acme.pem", "privateKey": "$LAB/acme.key",
		  "httpPort": 80, "tlsPort": 443, "ocspResponderURL": "",
		  "externalAccountBindingRequired": false,
		  "domainBlocklist": ["blocked.test"], "certificateValidityPeriod": 86400 } }
	EOT
	bg_ns wan env "${env[@]}" pebble -strict -config "$LAB/pebble.json" \
		-dnsserver ${PEBBLE_DNS:-127.0.0.1:8053} >> "$LAB/pebble.log" 2>&1
	pebble_pid=$BG
	disown
	within 15 wan_curl -o /dev/null -f $ACME_DIR
}
pebble_down() { kill -9 $pebble_pid; within 3 test ! -e /proc/$pebble_pid; }
pebble_root() { wan_curl https://192.0.2.1:15000/roots/${1:-0}; }

CADDY=https://acme.test:18443/acme/local/directory
caddy_up() {
	mkdir -p "$LAB/caddy"
	cat > "$LAB/Caddyfile" <<-EOT
		{
			admin off
			storage file_system $LAB/caddy/data
			http_port 18080
			https_port 18443
			skip_install_trust
			auto_https disable_redirects
		}
		https://acme.test:18443 {
			bind 192.0.2.1
			tls $LAB/acme.pem $LAB/acme.key
			acme_server
		}
	EOT
	# It looks names up as the system does; so do we, who look for it. The lab's own.
	printf '127.0.0.1 localhost\n192.0.2.1 acme.test\n192.0.2.10 vpn.test vpn2.test\n' > "$LAB/hosts" &&
	mount --bind "$LAB/hosts" /etc/hosts || return 1
	bg_ns wan env HOME="$LAB/caddy" caddy run --config "$LAB/Caddyfile" > "$LAB/caddy.log" 2>&1
	caddy_pid=$BG
	disown
	within 10 wan_curl -o /dev/null -f $CADDY
}
caddy_down() { kill $caddy_pid; }

# ---- the gateway ------------------------------------------------------------

ACME_CONFIG='server { hostname = "vpn.test" }
certificate {
	directory = "'$ACME_DIR'"
	ca_file = "'$LAB'/trust.pem"
	agree_tos = true
	without_ddns = true
	challenge = "http-01"
}'
# Settings of the section certificate, replaced or added.
acme_with() { # LINE...
	local l c=$ACME_CONFIG
	for l; do
		c=$(sed "/^\t${l%% *} =/d" <<< "$c")
		c=${c%\}}$'\t'$l$'\n}'
	done
	echo "$c"
}
acme_ok() { [ "$(acme "$1" | jq .ok)" = true ]; }
acme_get() { acme '{"cmd":"status"}' | jq -r ".$1"; }
acme_is() { [ "$(acme_get auto.state)" = "$1" ]; }
acme_text() { acme_get auto.text; }
acme_live() { [ "$(acme_get live.source)" = "${1:-auto}" ]; }
acme_log_has() { grep -qE -- "$1" "$LAB/acmed.log"; }
leaf() { openssl x509 -in <(sed -n '/BEGIN CERT/,$p' "$LAB/state/certs/live.pem") -noout "$@"; }
serial() { leaf -serial 2> /dev/null | sed 's/.*=//'; }
serial_is_not() { local s; s=$(serial); [ -n "$s" ] && [ "$s" != "$1" ]; }
# An object of the store, as its file has it (JSON: from the first brace on).
store_get() { LC_ALL=C grep -ao '{.*}' "$LAB/state/cluster/${1//\//+}" 2> /dev/null | jq -c . 2> /dev/null | head -n 1; }
secret() { # NAME VALUE
	in_gateway "$TANDEM_BIN/vpnctl" -S "$LAB/run/vpnd.sock" secret set "$1" --key "$LAB/pair.key" <<< "$2"
}
# acmed begins with an empty store.
acmed_fresh() { # CONFIG
	acmed_down 2> /dev/null; kill $hasync_pid; within 3 test ! -e /proc/$hasync_pid
	rm -rf "$LAB/state/cluster" "$LAB/state/certs"; : > "$LAB/acmed.log"
	hasync_up && acmed_up "$1"
}
acme_text_is() { [[ $(acme_text) =~ $1 ]]; }
acme_next_in() { echo $(($(acme_get auto.next) - $(date +%s))); } # seconds

# What acmed logged, into the saved logs of a failed test.
trap 'acme_rc=$?; [ $lab_bad = 0 ] && [ $acme_rc = 0 ] || { echo "---- acmed"; tail -n 40 "$LAB/acmed.log"; } 2> /dev/null | sed "s/^/# /"; (exit $acme_rc); lab_end' EXIT
