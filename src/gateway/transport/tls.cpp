#include "gateway/transport/tls.h"

#include <cassert>
#include <cerrno>
#include <cstring>
#include <ctime>
#include <new>
#include <openssl/err.h>
#include <openssl/pem.h>
#include <openssl/ssl.h>

namespace rtd::net {

namespace {

constexpr size_t kRecordBytes = TlsStream::kRecordBytes;
static_assert(kRecordBytes == SSL3_RT_MAX_PLAIN_LENGTH);

template <auto free> struct Freed {
    template <class T> void operator()(T *thing) const { free(thing); }
};
using BioPointer = std::unique_ptr<BIO, Freed<BIO_free_all>>;
using CertificatePointer = std::unique_ptr<X509, Freed<X509_free>>;
using KeyPointer = std::unique_ptr<EVP_PKEY, Freed<EVP_PKEY_free>>;

template <class T> T *must(T *made) {
    if (!made)
        throw std::bad_alloc();
    return made;
}

// Why the last call failed, in OpenSSL's words. Empties its queue of errors.
std::string openssl_reason() {
    unsigned long code = ERR_get_error();
    const char *reason = ERR_reason_error_string(code);
    ERR_clear_error();
    return reason ? reason : "error " + std::to_string(code);
}

// Before a call that explain() may be asked about: what is left of other connections' errors would
// be taken for this one's.
void begin_call() {
    ERR_clear_error();
    errno = 0;
}

BioPointer reader_of(std::string_view text) {
    return BioPointer(must(BIO_new_mem_buf(text.data(), static_cast<int>(text.size()))));
}

// OpenSSL would ask for a passphrase on the terminal.
int no_passphrase(char *, int, int, void *) {
    return -1;
}

Problem in_certificate(const std::string &what) {
    return {"the certificate in rtd.ssl_cert_file cannot be used: " + what};
}

Problem in_key(const std::string &what) {
    return {"the private key in rtd.ssl_key_file cannot be used: " + what};
}

Result<KeyPointer> read_key(std::string_view text) {
    KeyPointer key(PEM_read_bio_PrivateKey(reader_of(text).get(), nullptr, no_passphrase, nullptr));
    if (key)
        return Result<KeyPointer>(std::move(key));
    bool is_protected = ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_BAD_PASSWORD_READ;
    std::string reason = openssl_reason();
    return in_key(is_protected ? "it is protected by a passphrase" : reason);
}

// The certificates after the first; true if the text ends after one.
bool add_chain(SSL_CTX *context, BIO *text) {
    while (X509 *certificate = PEM_read_bio_X509(text, nullptr, no_passphrase, nullptr))
        if (SSL_CTX_add0_chain_cert(context, certificate) != 1) {
            X509_free(certificate);
            return false;
        }
    return ERR_GET_REASON(ERR_peek_last_error()) == PEM_R_NO_START_LINE;
}

// A client that names protocols and not this one is refused, as RFC 7301 wants it.
int choose_protocol(SSL *, const unsigned char **chosen, unsigned char *chosen_size,
                    const unsigned char *offered, unsigned offered_size, void *) {
    static const unsigned char ours[] = "\x08http/1.1";
    int found = SSL_select_next_proto(const_cast<unsigned char **>(chosen), chosen_size, ours,
                                      sizeof ours - 1, offered, offered_size);
    return found == OPENSSL_NPN_NEGOTIATED ? SSL_TLSEXT_ERR_OK : SSL_TLSEXT_ERR_ALERT_FATAL;
}

void configure(SSL_CTX *context, link::TlsVersion least) {
    SSL_CTX_set_min_proto_version(context, least == link::TlsVersion::v1_3 ? TLS1_3_VERSION
                                                                           : TLS1_2_VERSION);
    // Of TLS 1.2 only what keeps old recordings secret when the key gets known, and no CBC.
    SSL_CTX_set_cipher_list(context, "ECDHE+AESGCM:ECDHE+CHACHA20");
    // A client that just closes the socket is no error: requests and frames say where they end.
    SSL_CTX_set_options(context, SSL_OP_NO_RENEGOTIATION | SSL_OP_IGNORE_UNEXPECTED_EOF);
    // Most connections are idle most of the time: they give their two buffers of 16 KB back.
    SSL_CTX_set_mode(context, SSL_MODE_RELEASE_BUFFERS | SSL_MODE_ENABLE_PARTIAL_WRITE |
                                  SSL_MODE_ACCEPT_MOVING_WRITE_BUFFER);
    // Clients that come back bring their session along, in a ticket: nothing is kept here.
    SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    SSL_CTX_set_num_tickets(context, 1);
    SSL_CTX_set_alpn_select_cb(context, choose_protocol, nullptr);
}

// Cuts pieces into records, of which every one costs a system call: small pieces share one, large
// ones go out from where they are.
class RecordCutter {
  public:
    RecordCutter(const iovec *pieces, size_t count) : piece_(pieces), end_(pieces + count) {}

    // Empty at the end. Good until the next call of any cutter.
    std::string_view next() {
        static char record[kRecordBytes];
        while (piece_ < end_ && rest().empty())
            advance(0);
        if (piece_ == end_)
            return {};
        if (piece_ + 1 == end_ || rest().size() >= kRecordBytes)
            return advance(kRecordBytes);
        size_t size = 0;
        while (piece_ < end_ && size < kRecordBytes) {
            std::string_view part = advance(kRecordBytes - size);
            std::memcpy(record + size, part.data(), part.size());
            size += part.size();
        }
        return {record, size};
    }

  private:
    std::string_view rest() const {
        return {static_cast<const char *>(piece_->iov_base) + offset_, piece_->iov_len - offset_};
    }
    // Bytes of one piece, at most `size`.
    std::string_view advance(size_t size) {
        std::string_view part = rest().substr(0, size);
        offset_ += part.size();
        if (offset_ == piece_->iov_len) {
            piece_++;
            offset_ = 0;
        }
        return part;
    }

    const iovec *piece_, *end_;
    size_t offset_ = 0; // in *piece_
};

} // namespace

// ---- TlsContext ----

void TlsContext::Free::operator()(ssl_ctx_st *context) const {
    SSL_CTX_free(context);
}

Result<TlsContext> TlsContext::make(std::string_view chain, std::string key,
                                    link::TlsVersion least) {
    ERR_clear_error();
    Result<KeyPointer> private_key = read_key(key);
    OPENSSL_cleanse(key.data(), key.size());
    if (!private_key)
        return Problem{private_key.error()};

    Pointer context(must(SSL_CTX_new(TLS_server_method())));
    configure(context.get(), least);
    BioPointer chain_reader = reader_of(chain);
    CertificatePointer certificate(
        PEM_read_bio_X509_AUX(chain_reader.get(), nullptr, no_passphrase, nullptr));
    if (!certificate || SSL_CTX_use_certificate(context.get(), certificate.get()) != 1 ||
        !add_chain(context.get(), chain_reader.get()))
        return in_certificate(openssl_reason());
    ERR_clear_error(); // the end of the text is one to OpenSSL

    if (X509_check_private_key(certificate.get(), private_key->get()) != 1) {
        ERR_clear_error();
        return in_key("it is not the key of the certificate in rtd.ssl_cert_file");
    }
    if (SSL_CTX_use_PrivateKey(context.get(), private_key->get()) != 1)
        return in_key(openssl_reason());
    return TlsContext(std::move(context));
}

std::string TlsContext::description() const {
    const X509 *certificate = SSL_CTX_get0_certificate(context_.get());
    BioPointer text(must(BIO_new(BIO_s_mem())));
    X509_NAME_print_ex(text.get(), X509_get_subject_name(certificate), 0,
                       XN_FLAG_RFC2253 & ~ASN1_STRFLGS_ESC_MSB);
    char *subject = nullptr;
    long subject_size = BIO_get_mem_data(text.get(), &subject);
    std::string description = subject_size > 0
                                  ? std::string(subject, static_cast<size_t>(subject_size))
                                  : "a certificate without a subject";

    const ASN1_TIME *end = X509_get0_notAfter(certificate);
    tm when{};
    char formatted[64] = "";
    if (ASN1_TIME_to_tm(end, &when) == 1)
        std::strftime(formatted, sizeof formatted, "%Y-%m-%d %H:%M:%S UTC", &when);
    bool is_over = X509_cmp_current_time(end) < 0;
    return description + (is_over ? ", expired since " : ", valid until ") + formatted;
}

// ---- TlsStream ----

void TlsStream::Free::operator()(ssl_st *ssl) const {
    SSL_free(ssl);
}

TlsStream::TlsStream(const TlsContext &context, int fd)
    : ssl_(must(SSL_new(context.context_.get()))) {
    if (SSL_set_fd(ssl_.get(), fd) != 1)
        throw std::bad_alloc();
    SSL_set_accept_state(ssl_.get());
}

// Says goodbye if that is possible at once: without it, some clients suspect that somebody cut the
// connection.
TlsStream::~TlsStream() {
    shutdown();
}

TlsStream::Progress TlsStream::explain(int result) {
    int system_error = errno;
    switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
        return {Outcome::wants_read};
    case SSL_ERROR_WANT_WRITE:
        return {Outcome::wants_write};
    case SSL_ERROR_ZERO_RETURN:
        return {Outcome::closed};
    case SSL_ERROR_SYSCALL:
        ERR_clear_error(); // OpenSSL 3.5 leaves the system's error there as well
        has_ended_ = true;
        if (system_error == 0 || system_error == ECONNRESET || system_error == EPIPE)
            return {Outcome::closed};
        return {Outcome::failed, 0, std::strerror(system_error)};
    default: // the protocol was broken, or OpenSSL is out of memory
        has_ended_ = true;
        if (ERR_GET_REASON(ERR_peek_error()) == SSL_R_HTTP_REQUEST) {
            ERR_clear_error();
            return {Outcome::plain_http};
        }
        return {Outcome::failed, 0, openssl_reason()};
    }
}

TlsStream::Progress TlsStream::read(char *bytes, size_t size) {
    assert(size >= kRecordBytes);
    begin_call();
    size_t got = 0;
    int result = SSL_read_ex(ssl_.get(), bytes, size, &got);
    return result == 1 ? Progress{Outcome::done, got} : explain(result);
}

// Takes off `bytes` what has been sent.
TlsStream::Progress TlsStream::put(std::string_view &bytes) {
    while (!bytes.empty()) {
        begin_call();
        size_t written = 0;
        int result = SSL_write_ex(ssl_.get(), bytes.data(), bytes.size(), &written);
        if (result != 1) {
            Progress progress = explain(result);
            // A client that said goodbye may still read; not one to whom nothing can be written.
            has_ended_ = has_ended_ || progress.outcome == Outcome::closed;
            return progress;
        }
        bytes.remove_prefix(written);
    }
    return {};
}

TlsStream::Progress TlsStream::write(const iovec *pieces, size_t count) {
    std::string_view rest = unsent_;
    Progress progress = put(rest);
    unsent_.erase(0, unsent_.size() - rest.size());
    if (progress.outcome != Outcome::done)
        return progress;
    unsent_ = std::string(); // with its memory

    RecordCutter records(pieces, count);
    size_t taken = 0;
    while (progress.outcome == Outcome::done && !(rest = records.next()).empty()) {
        taken += rest.size();
        progress = put(rest);
    }
    unsent_ = rest;
    progress.bytes = taken;
    return progress;
}

TlsStream::Progress TlsStream::shutdown() {
    if (has_ended_ || !SSL_is_init_finished(ssl_.get()))
        return {};
    Progress progress = write(nullptr, 0);
    if (progress.outcome != Outcome::done)
        return progress;
    begin_call();
    int result = SSL_shutdown(ssl_.get());
    if (result < 0)
        return explain(result);
    has_ended_ = true;
    return {};
}

} // namespace rtd::net
