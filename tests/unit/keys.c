/* SPDX-License-Identifier: GPL-2.0-or-later WITH cryptsetup-OpenSSL-exception */
/* The whole process over real socket pairs, in a child of its own: confined,
 * sandboxed, and asked what parent, session and workers ask. */
#define OPENSSL_SUPPRESS_DEPRECATED
#include "common/err.h"
#include "common/log.h"
#include "tests/lib/far.h"
#include "vpnd/keys/certs.h"
#include "vpnd/keys/sandbox.h"

#include <fcntl.h>
#include <openssl/pem.h>
#include <openssl/rand.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>
#include <signal.h>
#include <sys/wait.h>
#include <sys/mman.h>

static char dir[] = "/tmp/keys-XXXXXX";

/* "Seccomp:" of /proc/PID/status: 2 when a filter is in force. */
static int
filter_of(pid_t pid)
{
	char path[64], line[256];
	int mode = -1;

	snprintf(path, sizeof(path), "/proc/%d/status", (int)pid);
	FILE *f = fopen(path, "r");
	while (f != NULL && fgets(line, sizeof(line), f) != NULL)
		sscanf(line, "Seccomp: %d", &mode);
	if (f != NULL)
		fclose(f);
	return mode;
}

static void
load(enum load_what what, uint32_t generation, const char *name, const void *bytes,
     size_t n)
{
	struct ipc_keys_load m = { .what = (uint8_t)what, .generation = generation };
	int fd = memfd_create("load", MFD_CLOEXEC);

	snprintf(m.name, sizeof(m.name), "%s", name);
	if (n > 0 && write(fd, bytes, n) != (ssize_t)n)
		exit(1);
	peer_send_fds(&far.parent, IPC_keys_load, &m, &fd, 1);
	close(fd);
}

static EVP_PKEY *
public_key_of_loaded(X509 **cert)
{
	BIO *bio = BIO_new_mem_buf(body.keys_loaded.chain.p,
				   (int)body.keys_loaded.chain.n);
	X509 *x = PEM_read_bio_X509(bio, NULL, NULL, NULL);
	EVP_PKEY *key = x ? X509_get_pubkey(x) : NULL;

	BIO_free(bio);
	if (cert)
		*cert = x;
	else
		X509_free(x);
	return key;
}

static bool
verifies(EVP_PKEY *key, int padding, const EVP_MD *md, const uint8_t *digest, size_t n)
{
	EVP_PKEY_CTX *ctx = EVP_PKEY_CTX_new(key, NULL);
	bool good = ctx != NULL && EVP_PKEY_verify_init(ctx) == 1 &&
		    (!padding || EVP_PKEY_CTX_set_rsa_padding(ctx, padding) == 1) &&
		    EVP_PKEY_CTX_set_signature_md(ctx, md) == 1 &&
		    EVP_PKEY_verify(ctx, body.key_signed.signature.p,
				    body.key_signed.signature.n, digest, n) == 1;
	EVP_PKEY_CTX_free(ctx);
	return good;
}

static void
ask_sign(uint32_t id, uint32_t generation, enum sign_scheme scheme, const void *p,
	 size_t n)
{
	struct ipc_key_sign q = { .id = id,
				  .generation = generation,
				  .scheme = (uint8_t)scheme };

	q.data.n = (uint32_t)n;
	memcpy(q.data.p, p, n);
	peer_send(&far.worker, IPC_key_sign, &q);
}

static void
it_makes_keys_signs_and_seals(void)
{
	uint8_t digest[32] = "the digest of a handshake......";
	struct ipc_token_seal seal = { .id = 7, .claims = { .n = 5, .p = "hello" } };
	static struct ipc_keys_store kept;
	X509 *x = NULL;

	far_start(IPC_KEYS, keys_main, dir);
	ok(hear(&far.parent, IPC_ready) && body.ready.pid == (uint32_t)far.pid,
	   "ready first");
	/* Asked too early: these wait until both loads are done. */
	ask_sign(1, 3, SIGN_ECDSA, digest, sizeof(digest));
	peer_send(&far.session, IPC_token_seal, &seal);
	load(LOAD_CERT, 3, "vpn.test.example", NULL, 0);
	ok(hear(&far.parent, IPC_keys_store) && body.keys_store.what == LOAD_CERT &&
		   strstr((char *)body.keys_store.bytes.p, "PRIVATE KEY"),
	   "a certificate made here is given to the parent with its key");
	ok(hear(&far.parent, IPC_keys_loaded) && !body.keys_loaded.is_bad &&
		   body.keys_loaded.generation == 3 && !body.keys_loaded.is_rsa,
	   "then it is loaded");
	ok(!memmem(body.keys_loaded.chain.p, body.keys_loaded.chain.n, "PRIVATE", 7),
	   "the chain for the workers holds no key");
	EVP_PKEY *key = public_key_of_loaded(&x);
	ok(X509_check_host(x, "vpn.test.example", 0, 0, NULL) == 1,
	   "it is for the name");
	ok(X509_get_extended_key_usage(x) == XKU_SSL_SERVER, "and for servers");
	int days = 0, secs = 0;
	ASN1_TIME_diff(&days, &secs, X509_get0_notBefore(x), X509_get0_notAfter(x));
	ok(days > 800 && days <= 825, "for %d days", days);
	X509_free(x);

	enum ipc_type type;
	is_int(peer_receive(&far.worker, 50, &type, &body), E_AGAIN,
	       "nobody is served before all is loaded");
	load(LOAD_TOKEN_KEYS, 0, "", NULL, 0);
	ok(hear(&far.parent, IPC_keys_store) && body.keys_store.what == LOAD_TOKEN_KEYS,
	   "token keys made here are given to the parent");
	kept = body.keys_store;
	ok(hear(&far.parent, IPC_keys_loaded) && !body.keys_loaded.is_bad,
	   "then loaded");
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.id == 1 &&
		   !body.key_signed.is_bad,
	   "the early signature is made now");
	ok(verifies(key, 0, EVP_sha256(), digest, sizeof(digest)), "and verifies");
	ok(hear(&far.session, IPC_token_sealed) && body.token_sealed.id == 7 &&
		   !body.token_sealed.is_bad,
	   "the early token is sealed");
	struct ipc_token_open open = { .id = 8 };
	strcpy(open.token, body.token_sealed.token);
	peer_send(&far.session, IPC_token_open, &open);
	ok(hear(&far.session, IPC_token_opened) && body.token_opened.claims.n == 5 &&
		   memcmp(body.token_opened.claims.p, "hello", 5) == 0,
	   "and opens");
	struct ipc_token_open bent = open;
	bent.token[30] = bent.token[30] == 'A' ? 'B' : 'A';
	peer_send(&far.session, IPC_token_open, &bent);
	ok(hear(&far.session, IPC_token_opened) && body.token_opened.is_bad &&
		   body.token_opened.claims.n == 0,
	   "a bent one does not");

#if !defined(__SANITIZE_ADDRESS__)
	is_int(filter_of(far.pid), 2, "by then the sandbox is shut");
#else
	diag("seccomp %d: none under a sanitizer", filter_of(far.pid));
#endif
	/* Inside the sandbox: new certificates, made and refused. */
	load(LOAD_CERT, 4, "", "not PEM", 7);
	ok(hear(&far.parent, IPC_keys_loaded) && body.keys_loaded.is_bad &&
		   strstr(body.keys_loaded.text, "private key"),
	   "rubbish is refused: %s", body.keys_loaded.text);
	load(LOAD_CERT, 5, "", NULL, 0);
	ok(hear(&far.parent, IPC_keys_store),
	   "a new certificate is made in the sandbox");
	ok(hear(&far.parent, IPC_keys_loaded) && !body.keys_loaded.is_bad,
	   "and loaded");
	ask_sign(2, 3, SIGN_ECDSA, digest, sizeof(digest));
	ok(hear(&far.worker, IPC_key_signed) && !body.key_signed.is_bad &&
		   verifies(key, 0, EVP_sha256(), digest, sizeof(digest)),
	   "a worker that has not swapped yet still gets signatures");
	load(LOAD_CERT, 6, "my_host", NULL, 0);
	ok(hear(&far.parent, IPC_keys_store) && hear(&far.parent, IPC_keys_loaded),
	   "once more");
	ask_sign(3, 3, SIGN_ECDSA, digest, sizeof(digest));
	ok(hear(&far.worker, IPC_key_signed) && !body.key_signed.is_bad,
	   "also when one was loaded between that nobody ever showed");
	load(LOAD_CERT, 6, "my_host", NULL, 0);
	ok(hear(&far.parent, IPC_keys_store) && hear(&far.parent, IPC_keys_loaded),
	   "and a fourth");
	ask_sign(3, 3, SIGN_ECDSA, digest, sizeof(digest));
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad,
	   "the fourth last is gone");
	ask_sign(4, 6, SIGN_RSA_PAD, digest, sizeof(digest));
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad,
	   "no RSA with an EC key");
	ask_sign(5, 6, SIGN_ECDSA, digest, 8);
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad,
	   "8 bytes are no digest");
	ask_sign(6, 6, (enum sign_scheme)9, digest, 32);
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad,
	   "no unknown scheme");
	load(LOAD_TOKEN_KEYS, 0, "", "rubbish", 7);
	ok(hear(&far.parent, IPC_keys_loaded) && body.keys_loaded.is_bad,
	   "bad token keys");
	peer_send(&far.session, IPC_token_open, &open);
	ok(hear(&far.session, IPC_token_opened) && !body.token_opened.is_bad,
	   "leave the good ones alone");
	unsigned bad = 0;
	for (unsigned i = 0; i < 6000; i++) {
		ask_sign(i, 6, SIGN_ECDSA, digest, sizeof(digest));
		enum ipc_type t;
		if (peer_receive(&far.worker, FAR_WAIT_MS, &t, &body) == 0)
			bad += body.key_signed.is_bad;
	}
	diag("%u of 6000 signatures refused by the rate", bad);
	peer_send(&far.parent, IPC_ping, &(struct ipc_ping){ .id = 77 });
	ok(hear(&far.parent, IPC_pong) && body.pong.id == 77, "ping is answered");
	is_int(far_stop(), 0, "stop ends it, and the sandbox never had to");
	EVP_PKEY_free(key);

	/* A successor with the stored keys opens the predecessor's token. */
	far_start(IPC_KEYS, keys_main, dir);
	hear(&far.parent, IPC_ready);
	load(LOAD_CERT, 1, "", NULL, 0);
	hear(&far.parent, IPC_keys_store);
	hear(&far.parent, IPC_keys_loaded);
	/* First a damaged file, which must not keep the service down. */
	load(LOAD_TOKEN_KEYS, 0, "", kept.bytes.p, kept.bytes.n - 1);
	ok(hear(&far.parent, IPC_keys_store) &&
		   body.keys_store.what == LOAD_TOKEN_KEYS &&
		   hear(&far.parent, IPC_keys_loaded) && !body.keys_loaded.is_bad,
	   "a damaged set at start is replaced");
	peer_send(&far.session, IPC_token_open, &open);
	ok(hear(&far.session, IPC_token_opened) && body.token_opened.is_bad,
	   "which costs the old tokens");
	load(LOAD_TOKEN_KEYS, 0, "", kept.bytes.p, kept.bytes.n);
	ok(hear(&far.parent, IPC_keys_loaded) && !body.keys_loaded.is_bad,
	   "stored keys load");
	peer_send(&far.session, IPC_token_open, &open);
	ok(hear(&far.session, IPC_token_opened) && !body.token_opened.is_bad,
	   "a token survives a restart of keys");
	is_int(far_stop(), 0, "stopped");
}

static size_t
rsa_pem(char *out, size_t cap, EVP_PKEY *key, EVP_PKEY *signer)
{
	BIO *bio = BIO_new(BIO_s_mem());
	X509 *x = X509_new();
	char *p;

	X509_set_version(x, 2);
	ASN1_INTEGER_set(X509_get_serialNumber(x), 1);
	X509_gmtime_adj(X509_getm_notBefore(x), 0);
	X509_gmtime_adj(X509_getm_notAfter(x), 86400);
	X509_set_pubkey(x, signer);
	X509_sign(x, signer, EVP_sha256());
	PEM_write_bio_PrivateKey(bio, key, NULL, NULL, 0, NULL, NULL);
	PEM_write_bio_X509(bio, x);
	size_t n = (size_t)BIO_get_mem_data(bio, &p);
	if (n > cap)
		exit(1);
	memcpy(out, p, n);
	BIO_free(bio);
	X509_free(x);
	return n;
}

static void
rsa_blocks_are_signed_and_nothing_else(void)
{
	EVP_PKEY *key = EVP_RSA_gen(2048), *other = EVP_EC_gen("P-256");
	const RSA *rsa = EVP_PKEY_get0_RSA(key);
	char pem[8192];
	size_t n = rsa_pem(pem, sizeof(pem), key, key);
	uint8_t digest[32] = "the digest of a handshake......", block[256];
	static const uint8_t info[] = { 0x30, 0x31, 0x30, 0x0d, 0x06, 0x09, 0x60,
					0x86, 0x48, 0x01, 0x65, 0x03, 0x04, 0x02,
					0x01, 0x05, 0x00, 0x04, 0x20 };
	uint8_t msg[sizeof(info) + 32];

	far_start(IPC_KEYS, keys_main, dir);
	hear(&far.parent, IPC_ready);
	load(LOAD_TOKEN_KEYS, 0, "", NULL, 0);
	hear(&far.parent, IPC_keys_store);
	hear(&far.parent, IPC_keys_loaded);
	char wrong[8192];
	size_t wrong_n = rsa_pem(wrong, sizeof(wrong), other, key);
	load(LOAD_CERT, 1, "", wrong, wrong_n);
	ok(hear(&far.parent, IPC_keys_loaded) && body.keys_loaded.is_bad,
	   "a certificate of another key is refused: %s", body.keys_loaded.text);
	load(LOAD_CERT, 2, "", pem, n);
	ok(hear(&far.parent, IPC_keys_loaded) && !body.keys_loaded.is_bad &&
		   body.keys_loaded.is_rsa,
	   "an RSA certificate loads");

	memcpy(msg, info, sizeof(info));
	memcpy(msg + sizeof(info), digest, 32);
	is_int(RSA_padding_add_PKCS1_type_1(block, 256, msg, sizeof(msg)), 1,
	       "a type 1 block");
	ask_sign(1, 2, SIGN_RSA_PAD, block, 256);
	ok(hear(&far.worker, IPC_key_signed) && !body.key_signed.is_bad &&
		   verifies(key, RSA_PKCS1_PADDING, EVP_sha256(), digest, 32),
	   "is signed");
	ok(RSA_padding_add_PKCS1_PSS_mgf1((RSA *)rsa, block, digest, EVP_sha256(),
					  EVP_sha256(), 32) == 1,
	   "a PSS block");
	ask_sign(2, 2, SIGN_RSA_PAD, block, 256);
	ok(hear(&far.worker, IPC_key_signed) && !body.key_signed.is_bad &&
		   verifies(key, RSA_PKCS1_PSS_PADDING, EVP_sha256(), digest, 32),
	   "is signed");
	ok(!cert_block_is_padded(span_of(block, 255), 2048), "not one byte shorter");
	unsigned taken = 0;
	for (unsigned i = 0; i < 256; i++) {
		block[i] ^= 0x10;
		taken += cert_block_is_padded(span_of(block, 256), 2048);
		block[i] ^= 0x10;
	}
	ok(taken <= 32, "a bent PSS block is not signed, but for its salt (%u)", taken);

	struct ipc_key_sign q = { .id = 3, .generation = 2, .scheme = SIGN_RSA_PAD };
	memset(block, 0x5a, sizeof(block));
	block[255] = 0xbc;
	ask_sign(3, 2, SIGN_RSA_PAD, block, 256);
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad && q.id == 3,
	   "ending in bc is not enough: no oracle for ciphertexts");
	RSA_padding_add_PKCS1_type_2(block, 256, msg, sizeof(msg));
	ask_sign(4, 2, SIGN_RSA_PAD, block, 256);
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad,
	   "nor an encryption block");
	RSA_padding_add_PKCS1_type_1(block, 256, digest, 32);
	ask_sign(5, 2, SIGN_RSA_PAD, block, 256);
	ok(hear(&far.worker, IPC_key_signed) && body.key_signed.is_bad,
	   "nor one without DigestInfo");
	load(LOAD_CERT, 3, "", NULL, 0);
	ok(hear(&far.parent, IPC_keys_store) && hear(&far.parent, IPC_keys_loaded) &&
		   !body.keys_loaded.is_bad,
	   "from RSA to EC inside the sandbox");
	is_int(far_stop(), 0, "stopped");
	EVP_PKEY_free(key);
	EVP_PKEY_free(other);
}

static void
a_broken_peer_ends_it(void)
{
	int status = 0;

	far_start(IPC_KEYS, keys_main, dir);
	hear(&far.parent, IPC_ready);
	if (send(far.parent.fd, "\xff\xff\0\0\0\0", 6, 0) != 6)
		exit(1);
	waitpid(far.pid, &status, 0);
	ok(WIFEXITED(status) && WEXITSTATUS(status) == 70,
	   "rubbish from the parent is fatal");
}

static int
in_sandbox(void (*act)(void))
{
	int status = 0;
	uint8_t b[1];

	fflush(stdout);
	pid_t pid = fork();
	if (pid == 0) {
		log_open("vpnd", "keys", LOG_L_ERR);
		if (sandbox_hide() < 0 || RAND_bytes(b, 1) != 1 || sandbox_enter() < 0)
			_exit(1);
		act();
		_exit(0);
	}
	waitpid(pid, &status, 0);
	return WIFSIGNALED(status) ? -WTERMSIG(status) : WEXITSTATUS(status);
}

/* OpenSSL does this after an hour, or many requests. */
static void
seed_anew(void)
{
	if (EVP_RAND_reseed(RAND_get0_primary(NULL), 0, NULL, 0, NULL, 0) != 1)
		_exit(2);
}

static void
use_memory(void)
{
	for (size_t n = 16; n < 64U << 20; n *= 2) {
		char *p = malloc(n);
		if (p == NULL || (p = realloc(p, n * 3)) == NULL)
			_exit(2);
		memset(p, 1, n);
		free(p);
	}
}

static void
say_something(void)
{
	log_err(0, "a line from the sandbox");
}

static void
open_a_file(void)
{
	(void)!open("/dev/null", O_RDONLY);
}

static void
make_a_socket(void)
{
	(void)!socket(AF_INET, SOCK_STREAM, 0);
}

static void
run_a_program(void)
{
	execl("/bin/true", "true", (char *)NULL);
}

static void
map_code(void)
{
	mmap(NULL, 4096, PROT_READ | PROT_EXEC, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
}

static void
become_another(void)
{
	(void)!fork();
}

static void
the_sandbox_ends_whoever_leaves_it(void)
{
	static const struct {
		const char *what;
		void (*act)(void);
		int want;
	} cases[] = {
		{ "fresh entropy", seed_anew, 0 },
		{ "memory", use_memory, 0 },
		{ "a log line", say_something, 0 },
		{ "abort", abort, -SIGABRT },
		{ "open", open_a_file, -SIGSYS },
		{ "socket", make_a_socket, -SIGSYS },
		{ "exec", run_a_program, -SIGSYS },
		{ "executable memory", map_code, -SIGSYS },
		{ "fork", become_another, -SIGSYS },
	};
#if !defined(__SANITIZE_ADDRESS__)
	for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
		is_int(in_sandbox(cases[i].act), cases[i].want, "%s", cases[i].what);
#else
	(void)cases;
	(void)in_sandbox;
#endif
}

int
main(void)
{
	signal(SIGPIPE, SIG_IGN);
	if (mkdtemp(dir) == NULL)
		exit(1);
	it_makes_keys_signs_and_seals();
	rsa_blocks_are_signed_and_nothing_else();
	a_broken_peer_ends_it();
	the_sandbox_ends_whoever_leaves_it();
	rmdir(dir);
	return done_testing();
}
