// TLS, with OpenSSL: TlsContext is a certificate with its key, TlsStream is one connection on a
// non-blocking descriptor. Neither knows of the event loop: a call that cannot go on says what it
// waits for. A stream keeps what it was made with, so a new context, made after a reload, is for
// new connections and disturbs no old one.
//
// TLS 1.2 at least, no renegotiation, and of application protocols only HTTP/1.1.
#pragma once
#include "core/fence.h"
#include "core/link.h"
#include "core/result.h"

#include <memory>
#include <string>
#include <string_view>
#include <sys/uio.h>

struct ssl_ctx_st;
struct ssl_st;

namespace rtd::net {

class TlsContext {
  public:
    // From PEM texts: the gateway's own certificate followed by its chain, and the private key,
    // whose text is wiped. A problem says which of the two settings is at fault.
    static Result<TlsContext> make(std::string_view chain, std::string key, link::TlsVersion least);

    // For the log: "CN=db.example, valid until 2027-02-01 12:00:00 UTC".
    std::string description() const;

  private:
    friend class TlsStream;
    struct Free {
        void operator()(ssl_ctx_st *context) const;
    };
    using Pointer = std::unique_ptr<ssl_ctx_st, Free>;

    explicit TlsContext(Pointer context) : context_(std::move(context)) {}

    Pointer context_;
};

class TlsStream {
  public:
    enum class Outcome : uint8_t {
        done,
        wants_read,  // call again when the descriptor is readable
        wants_write, // call again when it is writable
        closed,      // by the other end
        plain_http,  // the handshake met a request in plain text; nothing was answered yet
        failed,      // for `reason`, a few words
    };
    struct Progress {
        Outcome outcome = Outcome::done;
        size_t bytes = 0;
        std::string reason = {};
    };
    static constexpr size_t kRecordBytes = 16 * 1024; // the most that one record holds

    // `fd` stays the caller's, and open for as long as the stream is there.
    TlsStream(const TlsContext &context, int fd);
    ~TlsStream();
    TlsStream(const TlsStream &) = delete;

    // Some bytes: `done`. The first calls also do the handshake. There is room for a record at
    // least, so nothing is left behind that the descriptor does not announce.
    Progress read(char *bytes, size_t size);

    // Takes `bytes` of the pieces, in order, and all of them if `done`. What was taken must not be
    // given again: the stream holds a record that was begun, and sends it in the next call, which
    // may have no pieces.
    Progress write(const iovec *pieces, size_t count);
    bool holds_bytes() const { return !unsent_.empty(); }

    // Says that nothing more will come, once no bytes are held. Does not wait for the other end to
    // say so too.
    Progress shutdown();

  private:
    struct Free {
        void operator()(ssl_st *ssl) const;
    };

    Progress put(std::string_view &bytes);
    Progress explain(int result);

    std::unique_ptr<ssl_st, Free> ssl_;
    std::string unsent_;     // taken, and part of a record that was begun
    bool has_ended_ = false; // the connection broke, or shutdown() is done
};

} // namespace rtd::net
