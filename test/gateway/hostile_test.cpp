// Hostile clients: malformed input of every kind gets the right status or close code, nobody else
// notices, and the gateway's process stays the one it was.
#include "client.h"

namespace rtd::test {
namespace {

using namespace rtd::link;

constexpr std::string_view kUpgrade = "Upgrade: websocket\r\nConnection: Upgrade\r\n"
                                      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"
                                      "Sec-WebSocket-Version: 13\r\n";

// One gateway for all of a test's clients, with a bystander who must not notice.
class Victim {
  public:
    GatewayProcess gateway{local_settings()};

    Victim() : bystander_(gateway.port) {
        EXPECT_EQ(bystander_.upgrade("/ws/queue"), 101);
        pid_ = gateway.pid();
    }
    ~Victim() {
        bystander_.send_frame(kPing, "still there?");
        EXPECT_EQ(bystander_.read_frame().payload, "still there?");
        EXPECT_EQ(gateway.pid(), pid_);
        EXPECT_TRUE(Client(gateway.port).request("GET", "/healthz").starts_with("HTTP/1.1 200"));
    }

  private:
    Client bystander_;
    pid_t pid_;
};

// ---- before the upgrade ----

struct BadRequest {
    const char *what;
    int status;
    std::string bytes;
};

std::string get(std::string_view target, std::string_view headers) {
    return "GET " + std::string(target) + " HTTP/1.1\r\nHost: localhost:8787\r\n" +
           std::string(headers) + "\r\n";
}

std::string upgrade(std::string_view target, std::string_view headers = kUpgrade) {
    return get(target, headers);
}

std::string many(size_t count, const std::string &line) {
    std::string lines;
    for (size_t i = 0; i < count; i++)
        lines += line;
    return lines;
}

std::vector<BadRequest> bad_requests() {
    std::string key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    std::string asks = "Upgrade: websocket\r\nConnection: Upgrade\r\n";
    std::string version = "Sec-WebSocket-Version: 13\r\n";
    using namespace std::string_literals;
    return {
        {"no HTTP at all", 400, "hello\r\n\r\n"},
        {"an empty request line", 400, "\r\n\r\n"},
        {"TLS to a plain port", 400, "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n"s},
        {"the preface of HTTP/2", 400, "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"},
        {"HTTP/0.9", 400, "GET /\r\n\r\n"},
        {"HTTP/3.0", 400, "GET / HTTP/3.0\r\nHost: a\r\n\r\n"},
        {"a version in lower case", 400, "GET / http/1.1\r\nHost: a\r\n\r\n"},
        {"two spaces in the request line", 400, "GET  / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"a tab in the request line", 400, "GET\t/ HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"a fourth word in the request line", 400, "GET / x HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"a method that is no token", 400, "G<T / HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"a NUL in the target", 400, "GET /\0x HTTP/1.1\r\nHost: a\r\n\r\n"s},
        {"an escape in the target", 400, "GET /\x1b[2J HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"a NUL in a header", 400, "GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"s},
        {"a bare carriage return in a header", 400, "GET / HTTP/1.1\r\nHost: a\rX: b\r\n\r\n"},
        {"a bare line feed between headers", 400, "GET / HTTP/1.1\r\nHost: a\nX: b\r\n\r\n"},
        {"a header without a colon", 400, "GET / HTTP/1.1\r\nHost localhost\r\n\r\n"},
        {"a header without a name", 400, "GET / HTTP/1.1\r\n: x\r\n\r\n"},
        {"a space before the colon", 400, "GET / HTTP/1.1\r\nHost : a\r\n\r\n"},
        {"a folded header", 400, "GET / HTTP/1.1\r\nHost: a\r\n folded\r\n\r\n"},
        {"no Host", 400, "GET / HTTP/1.1\r\n\r\n"},
        {"two Hosts", 400, "GET / HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n"},
        {"Content-Length and Transfer-Encoding", 400,
         get("/healthz", "Content-Length: 4\r\nTransfer-Encoding: chunked\r\n") + "0\r\n\r\n"},
        {"two Content-Lengths", 400,
         get("/healthz", "Content-Length: 4\r\nContent-Length: 5\r\n") + "abcd"},
        {"a negative Content-Length", 400, get("/healthz", "Content-Length: -1\r\n")},
        {"a Content-Length with a sign", 400, get("/healthz", "Content-Length: +4\r\n") + "abcd"},
        {"an endless header", 400, "GET / HTTP/1.1\r\nX: " + std::string(20000, 'x')},
        {"a flood of headers", 400, "GET / HTTP/1.1\r\n" + many(3000, "A: b\r\n") + "\r\n"},
        {"an endless target", 400, "GET /" + std::string(20000, 'x')},
        {"an empty target", 400, "GET  HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"an asterisk as target", 400, upgrade("*")},
        {"a target without a slash", 400, upgrade("ws/queue")},
        {"a target of another scheme", 400, upgrade("ftp://h/ws/queue")},
        {"a percent sign alone", 400, upgrade("/ws/queue/%")},
        {"half a percent encoding", 400, upgrade("/ws/queue/%4")},
        {"a percent encoding that is none", 400, upgrade("/ws/queue/%zz")},
        {"an encoded NUL", 400, upgrade("/ws/queue/%00")},
        {"an overlong encoding of a slash", 400, upgrade("/ws/queue/%c0%af")},
        {"an encoded surrogate", 400, upgrade("/ws/queue/%ed%a0%80")},
        {"a code point beyond Unicode", 400, upgrade("/ws/queue/%f4%90%80%80")},
        {"a way up", 400, upgrade("/ws/../../etc/passwd")},
        {"an encoded way up", 400, upgrade("/ws/%2e%2e/%2e%2e/etc")},
        {"a backslash", 404, upgrade("/ws\\queue")},
        {"too many segments", 400, upgrade("/ws/queue" + many(65, "/a"))},
        {"a segment that is too long", 400, upgrade("/ws/queue/" + std::string(1025, 'a'))},
        {"a name that is too long", 400, upgrade("/ws/" + std::string(64, 'a'))},
        {"a method that changes something", 405, "DELETE /ws/queue HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"CONNECT", 405, "CONNECT /ws/queue HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"TRACE", 405, "TRACE /healthz HTTP/1.1\r\nHost: a\r\n\r\n"},
        {"no upgrade", 426, upgrade("/ws/queue", "")},
        {"an upgrade to something else", 426,
         upgrade("/ws/queue", "Upgrade: h2c\r\nConnection: Upgrade\r\n" + key + version)},
        {"an upgrade that Connection does not name", 426,
         upgrade("/ws/queue", "Upgrade: websocket\r\nConnection: close\r\n" + key + version)},
        {"an old version", 426, upgrade("/ws/queue", asks + key + "Sec-WebSocket-Version: 8\r\n")},
        {"two versions", 426,
         upgrade("/ws/queue", asks + key + version + "Sec-WebSocket-Version: 8\r\n")},
        {"no version", 426, upgrade("/ws/queue", asks + key)},
        {"no key", 400, upgrade("/ws/queue", asks + version)},
        {"a key that is too short", 400,
         upgrade("/ws/queue", asks + version + "Sec-WebSocket-Key: YWJj\r\n")},
        {"a key that is not base64", 400,
         upgrade("/ws/queue", asks + version + "Sec-WebSocket-Key: ????????????????????????\r\n")},
        {"two keys", 400, upgrade("/ws/queue", asks + version + key + key)},
        {"a foreign origin", 403,
         upgrade("/ws/queue", std::string(kUpgrade) + "Origin: https://evil.example\r\n")},
        {"an origin that begins like ours", 403,
         upgrade("/ws/queue",
                 std::string(kUpgrade) + "Origin: http://localhost:8787.evil.example\r\n")},
        {"the origin null", 403, upgrade("/ws/queue", std::string(kUpgrade) + "Origin: null\r\n")},
        {"two origins", 403,
         upgrade("/ws/queue", std::string(kUpgrade) + "Origin: http://localhost:8787\r\n"
                                                      "Origin: https://evil.example\r\n")},
    };
}

TEST(Hostile, requests_get_the_status_they_deserve) {
    Victim victim;
    std::vector<BadRequest> requests = bad_requests();
    EXPECT_GE(requests.size(), 60u);
    for (const BadRequest &request : requests) {
        SCOPED_TRACE(request.what);
        Client client(victim.gateway.port);
        client.send(request.bytes);
        EXPECT_EQ(client.read_head(), request.status);
        EXPECT_TRUE(client.is_closed());
    }
}

// ---- after the upgrade ----

struct BadFrames {
    const char *what;
    uint16_t code;
    std::string bytes;
};

// With any first two bytes; the payload is masked with zeros.
std::string raw_frame(uint8_t first, uint8_t second, std::string_view rest = "") {
    return std::string{static_cast<char>(first), static_cast<char>(second)}.append(rest);
}

std::string masked(int opcode, std::string_view payload, bool is_final = true) {
    return Client::make_frame(opcode, payload, is_final, true);
}

std::vector<BadFrames> bad_frames() {
    using namespace std::string_literals;
    const std::string mask = "\0\0\0\0"s;
    std::vector<BadFrames> frames = {
        {"the first reserved bit", 1002, raw_frame(0xc1, 0x81, mask + "x")},
        {"the second reserved bit", 1002, raw_frame(0xa1, 0x81, mask + "x")},
        {"the third reserved bit", 1002, raw_frame(0x91, 0x81, mask + "x")},
        {"a reserved bit on a ping", 1002, raw_frame(0xc9, 0x80, mask)},
        {"a continuation of nothing", 1002, masked(kContinuation, "x")},
        {"a final continuation after a whole message", 1002,
         masked(kText, "x") + masked(kContinuation, "y")},
        {"a message within a message", 1002, masked(kText, "x", false) + masked(kText, "y")},
        {"binary within text", 1002, masked(kText, "x", false) + masked(kBinary, "y")},
        {"a ping in pieces", 1002, masked(kPing, "x", false)},
        {"a pong in pieces", 1002, masked(kPong, "x", false)},
        {"a close in pieces", 1002, masked(kClose, "\x03\xe8", false)},
        {"a ping of 126 bytes", 1002, masked(kPing, std::string(126, 'x'))},
        {"a pong of 126 bytes", 1002, masked(kPong, std::string(126, 'x'))},
        {"a message that is not masked", 1002, raw_frame(0x81, 0x01, "x")},
        {"a ping that is not masked", 1002, raw_frame(0x89, 0x00, "")},
        {"a close that is not masked", 1002, raw_frame(0x88, 0x02, "\x03\xe8")},
        {"a length that is not the shortest", 1002, raw_frame(0x81, 0xfe, "\0\1"s + mask + "x")},
        {"a close whose reason is not UTF-8", 1007, masked(kClose, "\x03\xe8\xff")},
        {"a close of one byte", 1002, masked(kClose, "x")},
        {"text that is not UTF-8", 1007, masked(kText, "\xff")},
        {"text that ends within a character", 1007, masked(kText, "caf\xc3")},
        {"a surrogate", 1007, masked(kText, "\xed\xa0\x80")},
        {"an overlong NUL", 1007, masked(kText, "\xc0\x80")},
        {"a code point beyond Unicode", 1007, masked(kText, "\xf4\x90\x80\x80")},
        {"bad UTF-8 in the second piece", 1007,
         masked(kText, "\xc3", false) + masked(kContinuation, "x")},
        {"a message that is too long", 1009, masked(kText, std::string(65537, 'x'))},
        {"pieces that are too long together", 1009,
         masked(kText, std::string(40000, 'x'), false) +
             masked(kContinuation, std::string(40000, 'x'))},
        {"a length of 2^40", 1009,
         raw_frame(0x82, 0xff, "\0\0\1\0\0\0\0\0"s + mask + std::string(100, 'x'))},
    };
    for (int opcode : {3, 4, 5, 6, 7, 11, 12, 13, 14, 15})
        frames.push_back({"an opcode that is not defined", 1002, masked(opcode, "x")});
    for (int code : {0, 999, 1004, 1005, 1006, 1015, 1016, 2000, 2999, 5000, 65535})
        frames.push_back({"a close code that may not be sent", 1002,
                          masked(kClose, close_payload(static_cast<uint16_t>(code), ""))});
    return frames;
}

TEST(Hostile, frames_get_the_close_code_they_deserve) {
    Victim victim;
    for (const BadFrames &bad : bad_frames()) {
        SCOPED_TRACE(bad.what);
        Client client(victim.gateway.port);
        ASSERT_EQ(client.upgrade("/ws/queue"), 101);
        client.send(bad.bytes);
        EXPECT_EQ(client.read_close().close_code(), bad.code) << testing::PrintToString(bad.bytes);
        client.vanish();
    }
}

// ---- clients that take their time ----

TEST(Hostile, a_request_that_never_ends_is_given_up) {
    Victim victim;
    Client slow(victim.gateway.port), silent(victim.gateway.port);
    slow.send("GET /ws/queue HTTP/1.1\r\nHost: ");
    EXPECT_TRUE(slow.is_closed());
    EXPECT_TRUE(silent.is_closed());
}

} // namespace
} // namespace rtd::test
