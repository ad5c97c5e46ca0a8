# SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception
# pki.sh -- a CA with an intermediate and client certificates, made by openssl(1).
# Sourced after lab.sh; everything is in $PKI.
#
# pki_up                     root.pem, int.pem, ca.pem (the root), the intermediate's and
#                            the root's lists in crl.pem
# pki_issue CN [SECTION [openssl ca options]]   CN.pem, CN.key, CN-chain.pem
#                            (with the intermediate), signed by the intermediate.
#                            Sections: cli, srvonly, noeku, nosan, ocsp
# pki_p12 CN                 CN.p12, password p12pw
# pki_revoke CN; pki_crl     the lists anew, crl.pem and of the intermediate int.der
# client_ca FILE             installs it as the client CA, as an upload does

PKI=$LAB/pki
export CN=none OCSP_URL=http://10.10.0.100:2560

pki_config() {
	cat <<-'EOF'
	[ca]
	default_ca=ca
	[ca]
	dir=.
	database=index.txt
	new_certs_dir=issued
	serial=serial
	crlnumber=crlnumber
	default_md=sha256
	default_days=365
	default_crl_days=30
	policy=pol
	unique_subject=no
	certificate=int.pem
	private_key=int.key
	[root]
	dir=.
	database=root.txt
	crlnumber=rootcrl
	default_md=sha256
	default_crl_days=30
	certificate=root.pem
	private_key=root.key
	[pol]
	commonName=supplied
	[int_ext]
	basicConstraints=critical,CA:TRUE,pathlen:0
	keyUsage=critical,keyCertSign,cRLSign
	subjectKeyIdentifier=hash
	authorityKeyIdentifier=keyid
	[cli]
	basicConstraints=critical,CA:FALSE
	keyUsage=critical,digitalSignature
	extendedKeyUsage=clientAuth
	subjectAltName=email:${ENV::CN}@corp.vpn.test,otherName:1.3.6.1.4.1.311.20.2.3;UTF8:${ENV::CN}@ad.vpn.test
	authorityInfoAccess=OCSP;URI:${ENV::OCSP_URL}
	authorityKeyIdentifier=keyid
	[srvonly]
	keyUsage=critical,digitalSignature
	extendedKeyUsage=serverAuth
	[noeku]
	keyUsage=critical,digitalSignature
	[nosan]
	basicConstraints=critical,CA:FALSE
	extendedKeyUsage=clientAuth
	[ocsp]
	keyUsage=critical,digitalSignature
	extendedKeyUsage=critical,OCSPSigning
	EOF
}
pki_key() { openssl ecparam -name prime256v1 -genkey -noout -out $1.key; }
pki_root() { # NAME SUBJECT
	pki_key $1 && openssl req -x509 -new -key $1.key -subj "$2" -days 3650 -out $1.pem
}
pki_up() (
	mkdir -p $PKI/issued && cd $PKI && : > index.txt && : > root.txt && echo 1000 > serial &&
		echo 01 > crlnumber && echo 01 > rootcrl && pki_config > ca.cnf || exit 1
	{
		pki_root root "/CN=Client Root" && pki_key int &&
		openssl req -new -key int.key -subj "/CN=Client Intermediate" -out int.csr &&
		openssl x509 -req -in int.csr -CA root.pem -CAkey root.key -CAcreateserial \
			-days 1825 -extfile ca.cnf -extensions int_ext -out int.pem &&
		cp root.pem ca.pem && cat int.pem root.pem > chain.pem && pki_crl
	} > pki.log 2>&1
)
pki_issue() ( # CN [SECTION [openssl ca options]]
	cd $PKI && export CN=$1 && {
		pki_key $1 && openssl req -new -key $1.key -subj "/CN=$1" -out $1.csr &&
		openssl ca -batch -config ca.cnf -in $1.csr -out $1.pem -notext \
			-extensions ${2:-cli} "${@:3}" && cat $1.pem int.pem > $1-chain.pem
	} >> pki.log 2>&1
)
pki_p12() (
	cd $PKI && openssl pkcs12 -export -inkey $1.key -in $1.pem -certfile int.pem \
		-passout pass:p12pw -out $1.p12
)
pki_revoke() ( cd $PKI && openssl ca -config ca.cnf -revoke $1.pem -crl_reason keyCompromise >> pki.log 2>&1 )
pki_crl() (
	cd $PKI && { openssl ca -config ca.cnf -gencrl -out int.crl &&
		openssl ca -config ca.cnf -name root -gencrl -out root.crl; } >> pki.log 2>&1 &&
	openssl crl -in int.crl -outform DER -out int.der &&
	cat int.crl root.crl > crl.new && mv crl.new crl.pem
)
client_ca() {
	mkdir -p $LAB/state/certs && cp $1 $LAB/state/certs/client-ca.new &&
		mv $LAB/state/certs/client-ca.new $LAB/state/certs/client-ca.pem
}
# openconnect's options for this certificate, with the intermediate.
cert() { echo -c $PKI/$1-chain.pem -k $PKI/$1.key; }
# The last refusal's word. The event may come a moment after the client was told.
reason_is() { within 1 eval "[ \"\$(last_reason)\" = $1 ]"; }
last_reason() {
	ctl -j events --last 50 | jq -r 'if .events then .events[] else . end
		| select(.event == "auth_failure") | .reason' | tail -n 1
}
