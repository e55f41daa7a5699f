// Client: a raw TCP client that speaks HTTP and WebSocket as badly as a test wants it to.
#pragma once
#include "gateway_process.h"

#include <arpa/inet.h>
#include <functional>
#include <netinet/in.h>
#include <netinet/tcp.h>

namespace rtd::test {

struct Frame {
    int opcode = -1; // -1: the connection ended
    bool is_final = false;
    std::string payload;
    bool is_compressed = false;

    uint16_t close_code() const {
        return payload.size() < 2 ? 0
                                  : static_cast<uint16_t>(static_cast<uint8_t>(payload[0]) << 8 |
                                                          static_cast<uint8_t>(payload[1]));
    }
    std::string close_reason() const { return payload.substr(std::min<size_t>(2, payload.size())); }
};

inline constexpr int kContinuation = 0, kText = 1, kBinary = 2, kClose = 8, kPing = 9, kPong = 10;

inline std::string close_payload(uint16_t code, std::string_view reason) {
    return std::string{static_cast<char>(code >> 8), static_cast<char>(code)}.append(reason);
}

class Client {
  public:
    // A small receive buffer makes a client that does not read back up soon. `from` is the address
    // it comes from: all of 127.0.0.0/8 is this machine.
    explicit Client(uint16_t port, int receive_buffer_bytes = 0, const char *from = "127.0.0.1") {
        fd_ = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
        if (receive_buffer_bytes > 0)
            setsockopt(fd_, SOL_SOCKET, SO_RCVBUF, &receive_buffer_bytes, sizeof(int));
        int on = 1;
        setsockopt(fd_, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
        sockaddr_in own{};
        own.sin_family = AF_INET;
        inet_pton(AF_INET, from, &own.sin_addr);
        setsockopt(fd_, IPPROTO_IP, IP_BIND_ADDRESS_NO_PORT, &on, sizeof on);
        EXPECT_EQ(bind(fd_, reinterpret_cast<sockaddr *>(&own), sizeof own), 0) << from;
        sockaddr_in address{};
        address.sin_family = AF_INET;
        address.sin_port = htons(port);
        address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        connected = connect(fd_, reinterpret_cast<sockaddr *>(&address), sizeof address) == 0;
        socklen_t size = sizeof address;
        getsockname(fd_, reinterpret_cast<sockaddr *>(&address), &size);
        this->address = std::string(from) + ":" + std::to_string(ntohs(address.sin_port));
    }
    Client(const Client &) = delete;
    Client(Client &&other) noexcept
        : connected(other.connected), address(other.address),
          takes_compressed(other.takes_compressed), inflate(std::move(other.inflate)),
          fd_(std::exchange(other.fd_, -1)), received_(std::move(other.received_)) {}
    virtual ~Client() { vanish(); }

    bool connected = false;
    std::string address; // as the gateway sees it

    void vanish() {
        if (fd_ >= 0)
            close(fd_);
        fd_ = -1;
    }

    // Goes away with a reset, as a crashed machine or an impatient program does.
    void reset() {
        linger at_once{1, 0};
        setsockopt(fd_, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
        vanish();
    }

    virtual void send(std::string_view bytes) {
        while (!bytes.empty()) {
            ssize_t sent = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0)
                return; // the gateway has closed: what it said is still to be read
            bytes.remove_prefix(static_cast<size_t>(sent));
        }
    }

    // Reads what is there, and throws it away.
    virtual void skim() {
        char chunk[65536];
        recv(fd_, chunk, sizeof chunk, MSG_DONTWAIT);
    }

    // ---- HTTP ----

    // Everything until the gateway closes.
    std::string read_to_end() {
        while (receive()) {
        }
        return std::exchange(received_, "");
    }
    std::string request(std::string_view method, std::string_view target,
                        std::string_view headers = "") {
        send(std::string(method) + " " + std::string(target) + " HTTP/1.1\r\nHost: localhost\r\n" +
             std::string(headers) + "\r\n");
        return read_to_end();
    }

    static std::string upgrade_head(std::string_view target, std::string_view headers = "") {
        return "GET " + std::string(target) +
               " HTTP/1.1\r\nHost: localhost:8787\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
               "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n" +
               std::string(headers) + "\r\n";
    }
    // Asks for a WebSocket and gives the status of the answer; its head is in `head`.
    int upgrade(std::string_view target, std::string_view headers = "") {
        send(upgrade_head(target, headers));
        return read_head();
    }
    int read_head() {
        size_t end;
        while ((end = received_.find("\r\n\r\n")) == std::string::npos)
            if (!receive())
                return 0;
        head = received_.substr(0, end + 4);
        received_.erase(0, end + 4);
        return std::stoi(head.substr(9, 3));
    }
    std::string head;
    int fd() const { return fd_; }

    // ---- event stream ----

    // The next block of lines, without the empty line after it; "" at the end.
    std::string read_event() {
        size_t end;
        while ((end = received_.find("\n\n")) == std::string::npos)
            if (!receive())
                return "";
        std::string event = received_.substr(0, end);
        received_.erase(0, end + 2);
        return event;
    }

    // ---- WebSocket ----

    void send_frame(int opcode, std::string_view payload, bool is_final = true,
                    bool is_masked = true) {
        send(make_frame(opcode, payload, is_final, is_masked));
    }
    static std::string make_frame(int opcode, std::string_view payload, bool is_final,
                                  bool is_masked) {
        std::string frame{static_cast<char>((is_final ? 0x80 : 0) | opcode)};
        char mask_bit = is_masked ? static_cast<char>(0x80) : 0;
        if (payload.size() < 126) {
            frame += static_cast<char>(mask_bit | static_cast<char>(payload.size()));
        } else {
            bool is_long = payload.size() > 0xffff;
            frame += static_cast<char>(mask_bit | static_cast<char>(is_long ? 127 : 126));
            for (int shift = is_long ? 56 : 8; shift >= 0; shift -= 8)
                frame += static_cast<char>(payload.size() >> shift);
        }
        constexpr std::string_view kMask = "\x12\x34\x56\x78";
        if (is_masked)
            frame += kMask;
        for (size_t i = 0; i < payload.size(); i++)
            frame += static_cast<char>(payload[i] ^ (is_masked ? kMask[i % 4] : 0));
        return frame;
    }

    Frame read_frame() {
        auto need = [&](size_t size) {
            while (received_.size() - consumed_ < size)
                if (!receive())
                    return false;
            return true;
        };
        auto byte = [&](size_t i) { return static_cast<uint8_t>(received_[consumed_ + i]); };
        if (!need(2))
            return {};
        Frame frame{byte(0) & 0x0f, (byte(0) & 0x80) != 0, "", (byte(0) & 0x40) != 0};
        EXPECT_EQ(byte(0) & 0x30, 0) << "reserved bits";
        EXPECT_TRUE(!frame.is_compressed || (takes_compressed && frame.opcode == kText))
            << "the first reserved bit on a frame that must not have it";
        EXPECT_EQ(byte(1) & 0x80, 0) << "a server does not mask";
        size_t header = 2, size = byte(1);
        if (size >= 126) {
            header = size == 126 ? 4 : 10;
            if (!need(header))
                return {};
            size = 0;
            for (size_t i = 2; i < header; i++)
                size = size << 8 | byte(i);
        }
        if (!need(header + size))
            return {};
        frame.payload = received_.substr(consumed_ + header, size);
        consumed_ += header + size;
        if (consumed_ == received_.size() || consumed_ > (1 << 20)) {
            received_.erase(0, consumed_);
            consumed_ = 0;
        }
        return frame;
    }
    // permessage-deflate was agreed upon.
    bool takes_compressed = false;
    // What a compressed message says (test/gateway/deflate_test.cpp).
    std::function<std::string(const std::string &)> inflate;
    bool was_compressed = false; // the last message
    size_t payload_bytes = 0;    // of it, as it was sent

    // The next text message, put together; control frames in between are counted. A close or the
    // end gives the frame itself in `last` and an empty text.
    std::string read_text() {
        std::string text;
        was_compressed = false;
        while (true) {
            last = read_frame();
            if (last.opcode == kPong) {
                pongs++;
                continue;
            }
            if (last.opcode == kPing) {
                pings++;
                continue;
            }
            if (last.opcode != (text.empty() ? kText : kContinuation))
                return "";
            was_compressed |= last.is_compressed;
            text += last.payload;
            if (!last.is_final)
                continue;
            payload_bytes = text.size();
            return was_compressed ? inflate(text) : text;
        }
    }
    // Reads on to the close frame.
    Frame read_close() {
        do
            read_text();
        while (last.opcode == kText || last.opcode == kContinuation);
        return last;
    }
    bool is_closed() {
        while (receive()) {
        }
        return ended_;
    }
    Frame last;
    int pongs = 0;
    int pings = 0;

  protected:
    // What comes next; 0 or less at the end.
    virtual ssize_t receive(char *bytes, size_t size) {
        if (wait_readable(fd_, Clock::now() + kPatience))
            return recv(fd_, bytes, size, 0);
        ADD_FAILURE() << "the gateway sends nothing to the client";
        return -1;
    }

  private:
    bool receive() {
        char chunk[65536];
        ssize_t size = receive(chunk, sizeof chunk);
        if (size <= 0) {
            ended_ = true;
            return false;
        }
        received_.append(chunk, static_cast<size_t>(size));
        return true;
    }

    int fd_ = -1;
    std::string received_;
    size_t consumed_ = 0;
    bool ended_ = false;
};

} // namespace rtd::test
