// TlsContext and TlsStream against OpenSSL's own client, over a socket pair. Both ends are
// non-blocking and take turns, so every test decides what happens when.
#include "gateway/transport/tls.h"

#include "certificate.h"

#include <algorithm>
#include <csignal>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace rtd::net {
namespace {

using namespace rtd::test;
using Outcome = TlsStream::Outcome;
using link::TlsVersion;

const std::string &key_text() {
    static const std::string text = pem(make_key());
    return text;
}

struct Identity {
    Key key = make_key();
    Certificate certificate;
    explicit Identity(const char *name, long seconds = 3600)
        : certificate(make_certificate(key, name, seconds)) {}
    Result<TlsContext> context(TlsVersion least = TlsVersion::v1_2) const {
        return TlsContext::make(pem(certificate), pem(key), least);
    }
};

const TlsContext &plain_context() {
    static Result<TlsContext> context = Identity("localhost").context();
    return *context;
}

// ---- what the administrator gives ----

std::string problem_of(const std::string &chain, const std::string &key) {
    Result<TlsContext> context = TlsContext::make(chain, key, TlsVersion::v1_2);
    EXPECT_EQ(ERR_peek_error(), 0u) << "an error is left behind";
    return context ? "" : context.error();
}

TEST(TlsContext, describes_its_certificate) {
    EXPECT_TRUE(Identity("db.example")
                    .context()
                    ->description()
                    .starts_with("CN=db.example, valid until 20"));
    EXPECT_TRUE(Identity("old.example", -60)
                    .context()
                    ->description()
                    .starts_with("CN=old.example, expired since 20"));
}

TEST(TlsContext, says_what_is_wrong_with_a_certificate) {
    Identity own("localhost");
    std::string begin = "the certificate in rtd.ssl_cert_file cannot be used: ";
    EXPECT_EQ(problem_of("", pem(own.key)), begin + "no start line");
    EXPECT_EQ(problem_of("-----BEGIN CERTIFICATE-----\nMIIB", pem(own.key)),
              begin + "bad end line");
    EXPECT_EQ(problem_of(pem(own.key), pem(own.key)), begin + "no start line");
    // One that is broken further down in the chain, too.
    std::string chain = pem(own.certificate) + pem(own.certificate);
    EXPECT_EQ(problem_of(chain.substr(0, chain.size() - 60), pem(own.key)), begin + "bad end line");
}

TEST(TlsContext, says_what_is_wrong_with_a_key) {
    Identity own("localhost");
    std::string begin = "the private key in rtd.ssl_key_file cannot be used: ";
    std::string not_its_key = begin + "it is not the key of the certificate in rtd.ssl_cert_file";
    EXPECT_EQ(problem_of(pem(own.certificate), key_text()), not_its_key);
    EXPECT_EQ(problem_of(pem(own.certificate), pem(make_rsa_key(2048))), not_its_key);
    EXPECT_TRUE(problem_of(pem(own.certificate), "").starts_with(begin));
    EXPECT_TRUE(problem_of(pem(own.certificate), pem(own.certificate)).starts_with(begin));
    EXPECT_EQ(problem_of(pem(own.certificate), pem_with_passphrase(own.key, "secret")),
              begin + "it is protected by a passphrase");
}

TEST(TlsContext, refuses_a_key_that_is_too_short_to_be_safe) {
    Key key = make_rsa_key(1024);
    EXPECT_EQ(problem_of(pem(make_certificate(key, "localhost")), pem(key)),
              "the certificate in rtd.ssl_cert_file cannot be used: ee key too small");
}

// ---- connections ----

// Both ends of a connection.
class Pair {
  public:
    explicit Pair(const TlsContext &context = plain_context()) : Pair(context, ends_of_a_pair()) {}
    ~Pair() {
        hang_up();
        server_.reset();
        close(server_fd_);
    }
    Pair(const Pair &) = delete;

    TlsStream &server() { return *server_; }
    SSL *client() { return client_.get(); }
    SSL_CTX *client_context() { return context_.get(); }

    // Both ends take turns until the connection is there, which is true, or the server's end has
    // another outcome than to wait.
    bool connect() {
        for (int turn = 0; turn < 4; turn++) {
            bool client_is_there = SSL_connect(client_.get()) == 1;
            last = read();
            if (last.outcome != Outcome::wants_read)
                return false;
            if (client_is_there)
                return true;
        }
        return false;
    }
    TlsStream::Progress last; // of the server's end

    TlsStream::Progress read(std::string *bytes = nullptr) {
        static char buffer[TlsStream::kRecordBytes];
        TlsStream::Progress progress = server_->read(buffer, sizeof buffer);
        if (bytes)
            bytes->append(buffer, progress.bytes);
        return progress;
    }

    // What the client finds: at most `most` bytes.
    std::string client_reads(size_t most = SIZE_MAX) {
        std::string all;
        char chunk[65536];
        size_t got = 0;
        while (all.size() < most &&
               SSL_read_ex(client_.get(), chunk, std::min(most - all.size(), sizeof chunk), &got))
            all.append(chunk, got);
        return all;
    }
    void client_writes(std::string_view bytes) {
        size_t written = 0;
        ASSERT_EQ(SSL_write_ex(client_.get(), bytes.data(), bytes.size(), &written), 1);
        ASSERT_EQ(written, bytes.size());
    }
    // Past TLS.
    void client_writes_raw(std::string_view bytes) {
        ASSERT_EQ(::send(client_fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL),
                  static_cast<ssize_t>(bytes.size()));
    }
    std::string client_reads_raw() {
        char chunk[65536];
        ssize_t size = recv(client_fd_, chunk, sizeof chunk, MSG_DONTWAIT);
        return {chunk, static_cast<size_t>(std::max<ssize_t>(size, 0))};
    }
    bool is_readable() const {
        pollfd waiting{server_fd_, POLLIN, 0};
        return poll(&waiting, 1, 0) == 1;
    }
    // The socket closes, without a word of TLS.
    void hang_up() {
        if (client_fd_ >= 0)
            close(client_fd_);
        client_fd_ = -1;
    }

  private:
    struct Ends {
        int server, client;
    };
    static Ends ends_of_a_pair() {
        int ends[2];
        EXPECT_EQ(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0, ends), 0);
        return {ends[0], ends[1]};
    }
    Pair(const TlsContext &context, Ends ends)
        : server_fd_(ends.server), client_fd_(ends.client),
          server_(std::make_unique<TlsStream>(context, ends.server)),
          context_(SSL_CTX_new(TLS_client_method()), SSL_CTX_free),
          client_(SSL_new(context_.get()), SSL_free) {
        SSL_set_fd(client_.get(), ends.client);
        signal(SIGPIPE, SIG_IGN); // as in the gateway
    }

    int server_fd_, client_fd_;
    std::unique_ptr<TlsStream> server_;
    std::unique_ptr<SSL_CTX, void (*)(SSL_CTX *)> context_;
    std::unique_ptr<SSL, void (*)(SSL *)> client_;
};

TlsStream::Progress write(TlsStream &stream, const std::vector<std::string_view> &parts) {
    std::vector<iovec> pieces;
    for (std::string_view part : parts)
        pieces.push_back({const_cast<char *>(part.data()), part.size()});
    return stream.write(pieces.data(), pieces.size());
}

// Bytes in which a lost, doubled or swapped record shows.
std::string pattern(size_t size) {
    std::string bytes(size, '\0');
    for (size_t i = 0; i < size; i++)
        bytes[i] = static_cast<char>((i * 2654435761u) >> 13);
    return bytes;
}

TEST(TlsStream, carries_bytes_both_ways) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    EXPECT_STREQ(SSL_get_version(pair.client()), "TLSv1.3");
    pair.client_writes("hello");
    std::string received;
    EXPECT_EQ(pair.read(&received).outcome, Outcome::done);
    EXPECT_EQ(received, "hello");
    TlsStream::Progress progress = write(pair.server(), {"good ", "", "day"});
    EXPECT_EQ(progress.outcome, Outcome::done);
    EXPECT_EQ(progress.bytes, 8u);
    EXPECT_EQ(pair.client_reads(), "good day");
}

TEST(TlsStream, waits_for_the_other_end) {
    Pair pair;
    EXPECT_EQ(pair.read().outcome, Outcome::wants_read);
    ASSERT_TRUE(pair.connect());
    EXPECT_EQ(pair.read().outcome, Outcome::wants_read);
    EXPECT_EQ(write(pair.server(), {}).outcome, Outcome::done);
}

TEST(TlsStream, may_be_written_to_before_the_handshake_is_over) {
    Pair pair;
    EXPECT_EQ(write(pair.server(), {"early"}).outcome, Outcome::wants_read);
    EXPECT_TRUE(pair.server().holds_bytes());
    SSL_connect(pair.client());
    EXPECT_EQ(write(pair.server(), {}).outcome, Outcome::wants_read);
    ASSERT_EQ(SSL_connect(pair.client()), 1);
    EXPECT_EQ(write(pair.server(), {" bird"}).outcome, Outcome::done);
    EXPECT_EQ(pair.client_reads(), "early bird");
}

TEST(TlsStream, leaves_nothing_behind_that_the_descriptor_does_not_announce) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    std::string sent = pattern(100'000), received;
    pair.client_writes(sent);
    while (pair.is_readable())
        ASSERT_EQ(pair.read(&received).outcome, Outcome::done);
    EXPECT_TRUE(received == sent);
}

TEST(TlsStream, puts_small_pieces_into_one_record) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    pair.client_reads();
    EXPECT_EQ(write(pair.server(), std::vector<std::string_view>(100, "0123456789")).bytes, 1000u);
    // 5 bytes of record header, 1 of content type and 16 of authentication.
    EXPECT_EQ(pair.client_reads_raw().size(), 1000u + 22);
}

// The client reads little by little, so every record gets stuck half sent sooner or later. What was
// taken must arrive although other bytes come next: a session may throw away what was not taken.
TEST(TlsStream, sends_what_it_has_taken_once_and_in_order_to_a_slow_reader) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    std::string sent = pattern(3'000'000), received;
    size_t taken = 0;
    int stuck = 0;
    for (int turn = 0; received.size() < sent.size() && turn < 1'000'000; turn++) {
        // Pieces of other sizes every time, from less than a record to several.
        std::vector<std::string_view> parts;
        for (size_t at = taken, i = 0; at < sent.size() && i < 4; i++) {
            size_t size = 1 + (turn * 7919 + i * 104729) % (i == 3 ? 50'000 : 6'000);
            parts.push_back(std::string_view(sent).substr(at, size));
            at += parts.back().size();
        }
        TlsStream::Progress progress = write(pair.server(), parts);
        ASSERT_TRUE(progress.outcome == Outcome::done || progress.outcome == Outcome::wants_write)
            << progress.reason;
        stuck += progress.outcome == Outcome::wants_write;
        taken += progress.bytes;
        if (progress.outcome == Outcome::wants_write)
            received += pair.client_reads(1 + turn * 31 % 40'000);
        else if (taken == sent.size())
            received += pair.client_reads();
    }
    EXPECT_GT(stuck, 20);
    EXPECT_EQ(taken, sent.size());
    EXPECT_TRUE(received == sent);
}

TEST(TlsStream, has_taken_nothing_as_long_as_an_earlier_record_waits) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    std::string large = pattern(4'000'000);
    size_t taken = write(pair.server(), {large}).bytes;
    ASSERT_LT(taken, large.size());
    EXPECT_TRUE(pair.server().holds_bytes());
    TlsStream::Progress progress = write(pair.server(), {"another"});
    EXPECT_EQ(progress.outcome, Outcome::wants_write);
    EXPECT_EQ(progress.bytes, 0u);
    std::string received = pair.client_reads();
    EXPECT_EQ(write(pair.server(), {}).outcome, Outcome::done);
    EXPECT_FALSE(pair.server().holds_bytes());
    received += pair.client_reads();
    EXPECT_TRUE(received == large.substr(0, taken));
    EXPECT_EQ(write(pair.server(), {"another"}).outcome, Outcome::done);
    EXPECT_EQ(pair.client_reads(), "another");
}

// ---- ends ----

TEST(TlsStream, tells_the_client_that_nothing_more_comes) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    write(pair.server(), {"bye"});
    EXPECT_EQ(pair.server().shutdown().outcome, Outcome::done);
    EXPECT_EQ(pair.client_reads(), "bye");
    char byte;
    EXPECT_EQ(SSL_get_error(pair.client(), SSL_read(pair.client(), &byte, 1)),
              SSL_ERROR_ZERO_RETURN);
}

TEST(TlsStream, does_not_say_goodbye_before_everything_taken_is_sent) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    std::string large = pattern(4'000'000);
    size_t taken = write(pair.server(), {large}).bytes;
    EXPECT_EQ(pair.server().shutdown().outcome, Outcome::wants_write);
    std::string received = pair.client_reads();
    EXPECT_EQ(pair.server().shutdown().outcome, Outcome::done);
    received += pair.client_reads();
    EXPECT_TRUE(received == large.substr(0, taken));
    char byte;
    EXPECT_EQ(SSL_get_error(pair.client(), SSL_read(pair.client(), &byte, 1)),
              SSL_ERROR_ZERO_RETURN);
}

TEST(TlsStream, has_no_goodbye_for_a_client_without_a_handshake) {
    Pair pair;
    EXPECT_EQ(pair.server().shutdown().outcome, Outcome::done);
    EXPECT_EQ(pair.client_reads_raw(), "");
}

TEST(TlsStream, notices_that_the_client_is_gone) {
    for (bool says_so : {true, false}) {
        Pair pair;
        ASSERT_TRUE(pair.connect());
        if (says_so)
            SSL_shutdown(pair.client());
        pair.hang_up();
        TlsStream::Progress progress = pair.read();
        EXPECT_EQ(progress.outcome, Outcome::closed) << progress.reason;
        EXPECT_EQ(write(pair.server(), {"into the void"}).outcome, Outcome::closed);
        EXPECT_EQ(pair.server().shutdown().outcome, Outcome::done);
        EXPECT_EQ(ERR_peek_error(), 0u);
    }
}

TEST(TlsStream, notices_a_client_that_leaves_in_the_handshake) {
    Pair pair;
    SSL_connect(pair.client());
    EXPECT_EQ(pair.read().outcome, Outcome::wants_read);
    pair.hang_up();
    EXPECT_EQ(pair.read().outcome, Outcome::closed);
}

TEST(TlsStream, fails_for_a_reason_when_the_protocol_is_broken) {
    Pair pair;
    ASSERT_TRUE(pair.connect());
    pair.client_writes_raw(std::string("\x17\x03\x03\x00\x20", 5) + std::string(32, 'x'));
    TlsStream::Progress progress = pair.read();
    EXPECT_EQ(progress.outcome, Outcome::failed);
    EXPECT_EQ(progress.reason, "decryption failed or bad record mac");
    EXPECT_EQ(pair.server().shutdown().outcome, Outcome::done);
    EXPECT_EQ(ERR_peek_error(), 0u) << "the error would be taken for another connection's";
}

// ---- who may connect ----

TEST(TlsStream, recognizes_a_request_in_plain_text) {
    Pair pair;
    pair.client_writes_raw("GET /ws/queue HTTP/1.1\r\n");
    EXPECT_EQ(pair.read().outcome, Outcome::plain_http);
    EXPECT_EQ(pair.client_reads_raw(), "") << "the answer is the caller's";
}

TEST(TlsStream, refuses_what_is_no_TLS) {
    Pair pair;
    pair.client_writes_raw("\x01\x02\x03\x04\x05\x06\x07\x08\x09\x0a\x0b");
    TlsStream::Progress progress = pair.read();
    EXPECT_EQ(progress.outcome, Outcome::failed);
    EXPECT_EQ(progress.reason, "wrong version number");
}

TEST(TlsStream, takes_no_version_below_the_least) {
    Result<TlsContext> modern = Identity("localhost").context(TlsVersion::v1_3);
    struct Case {
        const TlsContext &context;
        int most;
        bool is_taken;
    };
    for (const Case &each :
         {Case{plain_context(), TLS1_1_VERSION, false}, Case{plain_context(), TLS1_2_VERSION, true},
          Case{*modern, TLS1_2_VERSION, false}, Case{*modern, TLS1_3_VERSION, true}}) {
        Pair pair(each.context);
        SSL_set_security_level(pair.client(), 0); // or the client would not offer 1.1
        SSL_set_min_proto_version(pair.client(), TLS1_VERSION);
        SSL_set_max_proto_version(pair.client(), each.most);
        EXPECT_EQ(pair.connect(), each.is_taken);
        if (each.is_taken)
            continue;
        EXPECT_EQ(pair.last.reason, "unsupported protocol");
        SSL_connect(pair.client());
        EXPECT_EQ(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_TLSV1_ALERT_PROTOCOL_VERSION);
    }
}

TEST(TlsStream, speaks_HTTP_1_1_and_refuses_clients_that_speak_only_others) {
    Pair both;
    SSL_set_alpn_protos(both.client(),
                        reinterpret_cast<const unsigned char *>("\x02h2\x08http/1.1"), 12);
    ASSERT_TRUE(both.connect());
    const unsigned char *chosen = nullptr;
    unsigned size = 0;
    SSL_get0_alpn_selected(both.client(), &chosen, &size);
    EXPECT_EQ(std::string(reinterpret_cast<const char *>(chosen), size), "http/1.1");

    Pair other;
    SSL_set_alpn_protos(other.client(), reinterpret_cast<const unsigned char *>("\x02h2"), 3);
    EXPECT_FALSE(other.connect());
    EXPECT_EQ(other.last.reason, "no application protocol");
}

TEST(TlsStream, refuses_renegotiation) {
    Pair pair;
    SSL_set_max_proto_version(pair.client(), TLS1_2_VERSION);
    ASSERT_TRUE(pair.connect());
    ASSERT_EQ(SSL_renegotiate(pair.client()), 1);
    SSL_do_handshake(pair.client());
    EXPECT_EQ(pair.read().outcome, Outcome::wants_read) << "it goes on as before";
    EXPECT_EQ(SSL_do_handshake(pair.client()), -1);
    EXPECT_EQ(ERR_GET_REASON(ERR_peek_last_error()), SSL_R_NO_RENEGOTIATION);
}

TEST(TlsStream, sends_the_chain_that_leads_to_the_issuer) {
    Key root_key = make_key(), middle_key = make_key(), key = make_key();
    Certificate root = make_certificate(root_key, "root");
    Certificate middle = make_certificate(middle_key, "root", 3600); // may sign, as the root may
    middle = Certificate(X509_dup(middle.get()), X509_free);
    X509_set_issuer_name(middle.get(), X509_get_subject_name(root.get()));
    X509_NAME_add_entry_by_txt(X509_get_subject_name(middle.get()), "OU", MBSTRING_UTF8,
                               reinterpret_cast<const unsigned char *>("middle"), -1, -1, 0);
    ASSERT_GT(X509_sign(middle.get(), root_key.get(), EVP_sha256()), 0);
    Certificate leaf = make_certificate(key, "localhost", 3600, middle_key, middle);
    Result<TlsContext> context =
        TlsContext::make(pem(leaf) + pem(middle), pem(key), TlsVersion::v1_2);
    ASSERT_TRUE(context) << context.error();
    Pair pair(*context);
    X509_STORE_add_cert(SSL_CTX_get_cert_store(pair.client_context()), root.get());
    SSL_set_verify(pair.client(), SSL_VERIFY_PEER, nullptr);
    ASSERT_TRUE(pair.connect());
    EXPECT_EQ(SSL_get_verify_result(pair.client()), X509_V_OK);
}

// A reload makes another context; who is connected stays connected.
TEST(TlsStream, lives_on_when_its_context_is_gone) {
    Result<TlsContext> first = Identity("first").context();
    Pair pair(*first);
    ASSERT_TRUE(pair.connect());
    first = Identity("second").context();
    write(pair.server(), {"still here"});
    EXPECT_EQ(pair.client_reads(), "still here");

    Pair next(*first);
    ASSERT_TRUE(next.connect());
    std::unique_ptr<X509, void (*)(X509 *)> seen(SSL_get1_peer_certificate(next.client()),
                                                 X509_free);
    char name[100];
    X509_NAME_get_text_by_NID(X509_get_subject_name(seen.get()), NID_commonName, name, sizeof name);
    EXPECT_STREQ(name, "second");
}

// So a thousand clients that come back at once cost a thousand cheap handshakes.
TEST(TlsStream, resumes_a_session_by_its_ticket) {
    Pair first;
    ASSERT_TRUE(first.connect());
    first.client_reads(); // TLS 1.3 sends tickets after the handshake
    std::unique_ptr<SSL_SESSION, void (*)(SSL_SESSION *)> session(SSL_get1_session(first.client()),
                                                                  SSL_SESSION_free);
    Pair second;
    SSL_set_session(second.client(), session.get());
    ASSERT_TRUE(second.connect());
    EXPECT_EQ(SSL_session_reused(second.client()), 1);
}

} // namespace
} // namespace rtd::net
