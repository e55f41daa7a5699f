#include "gateway/session/connection.h"

#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>

namespace rtd::net {

namespace {

constexpr size_t kReadBytes = TlsStream::kRecordBytes;
// What one client is written in one turn; then the others have theirs. In bytes: many small
// messages wait behind one read of the link, and a client that gets only a few of them each turn
// falls behind for good.
constexpr size_t kBytesPerTurn = 256 * 1024;
constexpr size_t kPiecesPerWrite = 64;

} // namespace

Connection::Connection(Environment &environment, AdmittedSocket socket)
    : environment_(environment), socket_(std::move(socket)), wait_(*this) {}

// Nothing that happens to one client may end the gateway, nor travel through the loop's C code.
template <class Action> void Connection::guarded(Action action) {
    try {
        action();
    } catch (const std::exception &exception) {
        std::fprintf(stderr, "a client's connection failed: %s\n", exception.what());
        on_failure();
    }
}

void Connection::watch() {
    if (!is_gone_ && !socket_.watch(*this, reads_ && !is_paused_, is_stuck_))
        vanish("the kernel cannot watch one more connection");
}

void Connection::on_ready(uint32_t events) {
    bool readable = socket_.can_read(events);
    guarded([&] {
        if (socket_.can_write(events) && is_stuck_ && !is_gone_) {
            if (closes_first_)
                environment_.answers.begin(wait_);
            on_progress();
            is_stuck_ = false;
            write_waiting();
            if (!is_gone_ && is_all_written())
                on_caught_up();
        }
        if (readable && !is_gone_)
            read();
    });
}

// ---- reading ----

void Connection::start_reading() {
    reads_ = true;
    watch();
}

void Connection::read_now() {
    guarded([&] { read(); });
    if (!is_gone_)
        start_reading();
}

// Its bytes may become frames for the hub, which takes no more for now. What the kernel has no room
// for then waits at the client.
bool Connection::pauses() {
    if (is_leaving_ || !environment_.hub.is_congested())
        return false;
    if (!is_paused_)
        environment_.connections.waits_to_read(*this);
    watch();
    return true;
}

void Connection::read() {
    if (pauses())
        return;
    static std::array<char, kReadBytes> buffer; // one thread; whoever keeps bytes copies them
    Socket::Io io = socket_.read(buffer.data(), buffer.size());
    switch (io.result) {
    case Socket::Io::Result::done:
        return on_data({buffer.data(), io.bytes});
    case Socket::Io::Result::blocked:
        return watch(); // perhaps for something else
    case Socket::Io::Result::ended:
        reads_ = false;
        watch();
        if (!is_leaving_)
            on_end();
        else if (is_all_written())
            vanish("");
        return;
    case Socket::Io::Result::plain_http:
        return on_plain_http();
    case Socket::Io::Result::tls_failed:
        return on_tls_failure(io.reason);
    case Socket::Io::Result::broken:
        return vanish(io.reason);
    }
}

void Connection::receive(std::string_view bytes) {
    guarded([&] {
        if (!bytes.empty())
            on_data(bytes);
    });
}

// ---- writing ----

void Connection::say(std::string bytes, WireMessage::Kind kind) {
    constexpr uint64_t kOfNoSubscription = 0;
    queue(std::make_shared<const WireMessage>(std::move(bytes), kind), kOfNoSubscription,
          QueuePolicy::keep);
}

bool Connection::queue(WireMessagePtr message, uint64_t subscription, QueuePolicy policy) {
    uint64_t limit = environment_.settings.client_buffer_bytes;
    bool taken = queue_.push(message, subscription, policy, limit);
    if (!taken && !is_stuck_) { // it is not the client who is slow: this turn brought so much
        write_waiting();
        taken = is_gone_ || queue_.push(std::move(message), subscription, policy, limit);
    }
    want_write();
    return taken;
}

void Connection::queue_control(std::string frame) {
    if (is_held_)
        write_waiting(); // a control frame overtakes what waits
    queue_.push_control(std::move(frame));
    want_write();
}

void Connection::cut_waiting() {
    write_waiting();
    queue_.cut();
}

void Connection::release() {
    is_held_ = false;
    want_write();
}

void Connection::want_write() {
    if (is_held_ || is_stuck_ || is_gone_ || is_listed_)
        return; // the loop will say when there is room
    environment_.connections.has_something_to_write(*this);
}

void Connection::write_waiting() {
    is_held_ = false;
    size_t written = 0;
    while (!is_all_written() && !is_stuck_ && !is_gone_) {
        std::array<iovec, kPiecesPerWrite> pieces;
        size_t count = 0;
        size_t bytes = 0;
        queue_.for_each_piece([&](std::string_view piece) {
            piece = piece.substr(0, kBytesPerTurn - bytes);
            pieces[count++] = {const_cast<char *>(piece.data()), piece.size()};
            bytes += piece.size();
            return count < kPiecesPerWrite && bytes < kBytesPerTurn;
        });
        Socket::Io io = socket_.write(pieces.data(), static_cast<int>(count));
        if (io.result == Socket::Io::Result::tls_failed)
            return on_tls_failure(io.reason);
        if (io.result == Socket::Io::Result::broken)
            return vanish(io.reason);
        queue_.pop(io.bytes);
        written += io.bytes;
        is_stuck_ = io.bytes < bytes || socket_.holds_bytes() || written >= kBytesPerTurn;
    }
    if (is_gone_)
        return;
    is_stuck_ = is_stuck_ && !is_all_written();
    watch();
    if (!is_leaving_ || !is_all_written())
        return;
    if (!reads_)
        vanish(""); // the client has closed its side, and has everything
    else if (std::exchange(closes_first_, false)) {
        socket_.finish_writing();
        environment_.goodbyes.begin(wait_);
    }
}

// ---- the end ----

// Our side is shut, not closed: closing with something unread in the socket would reset the
// connection and might take the last words along.
void Connection::leave(bool closes_first) {
    if (is_leaving_ || is_gone_)
        return;
    is_leaving_ = true;
    closes_first_ = closes_first;
    (closes_first ? environment_.answers : environment_.goodbyes).begin(wait_);
    if (is_stuck_) {
        socket_.allow_last_words();
        is_stuck_ = false;
    }
    want_write();
}

void Connection::vanish(std::string_view) {
    if (std::exchange(is_gone_, true))
        return;
    wait_.end();
    queue_.clear();
    environment_.connections.is_gone(*this);
}

void Connection::time_is_over() {
    guarded([&] {
        if (is_leaving_)
            vanish("");
        else
            on_late();
    });
}

} // namespace rtd::net
