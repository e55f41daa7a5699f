#include "gateway/hub_link.h"

#include <cstdio>
#include <cstdlib>
#include <utility>

namespace rtd::gateway {

namespace {

constexpr size_t kReadBytes = 256 * 1024;
// A hub that lets this much wait has hung. It restarts a gateway that exits.
constexpr size_t kMaxPendingBytes = 64 * 1024 * 1024;

} // namespace

int HubLink::open(uv_loop_t *loop, int fd) {
    uv_idle_init(loop, &turn_);
    turn_.data = this;
    uv_pipe_init(loop, &pipe_, 0);
    pipe_.data = this;
    write_.data = this;
    return uv_pipe_open(&pipe_, fd);
}

void HubLink::start(OnFrame on_frame, std::function<void()> on_read, OnEnd on_end) {
    on_frame_ = std::move(on_frame);
    on_read_ = std::move(on_read);
    on_end_ = std::move(on_end);
    read_buffer_.resize(kReadBytes);
    start_reading();
}

void HubLink::start_reading() {
    uv_read_start(
        reinterpret_cast<uv_stream_t *>(&pipe_),
        [](uv_handle_t *handle, size_t, uv_buf_t *buffer) {
            auto &bytes = static_cast<HubLink *>(handle->data)->read_buffer_;
            *buffer = uv_buf_init(bytes.data(), static_cast<unsigned>(bytes.size()));
        },
        [](uv_stream_t *stream, ssize_t size, const uv_buf_t *buffer) {
            static_cast<HubLink *>(stream->data)->read(size, buffer->base);
        });
}

void HubLink::hold_back(bool held) {
    if (broken_ || std::exchange(held_back_, held) == held)
        return;
    if (held)
        uv_read_stop(reinterpret_cast<uv_stream_t *>(&pipe_));
    else
        start_reading();
}

void HubLink::read(ssize_t size, const char *bytes) {
    if (size == 0)
        return; // nothing there after all
    if (size < 0)
        return end(size == UV_EOF || size == UV_ECONNRESET ? ""
                                                           : uv_strerror(static_cast<int>(size)));
    reader_.append({bytes, static_cast<size_t>(size)});
    read_frames();
    if (!broken_)
        on_read_();
}

void HubLink::read_frames() {
    while (!broken_) {
        auto frame = reader_.next();
        if (!frame)
            return end(frame.error());
        if (!*frame)
            return;
        on_frame_(**frame);
    }
}

void HubLink::end(const std::string &error) {
    if (broken_)
        return;
    broken_ = true;
    uv_read_stop(reinterpret_cast<uv_stream_t *>(&pipe_));
    on_end_(error);
}

void HubLink::send(const link::GatewayFrame &frame) {
    if (broken_)
        return;
    pending_ += link::encode(frame);
    if (pending_.size() > kMaxPendingBytes) {
        std::fprintf(stderr, "rtd-gateway exits: the hub does not read what it is sent\n");
        std::_Exit(1);
    }
    if (writing_.empty())
        uv_idle_start(&turn_,
                      [](uv_idle_t *turn) { static_cast<HubLink *>(turn->data)->write_pending(); });
}

void HubLink::write_pending() {
    uv_idle_stop(&turn_);
    if (!writing_.empty() || pending_.empty() || broken_)
        return;
    uv_buf_t buffer = uv_buf_init(pending_.data(), static_cast<unsigned>(pending_.size()));
    int written = uv_try_write(reinterpret_cast<uv_stream_t *>(&pipe_), &buffer, 1);
    if (written == UV_EAGAIN)
        return write_rest(0);
    if (written < 0)
        return pending_.clear(); // the hub is gone; reading will say so
    if (static_cast<size_t>(written) < pending_.size())
        return write_rest(static_cast<size_t>(written));
    pending_.clear();
}

void HubLink::write_rest(size_t written) {
    writing_.swap(pending_);
    uv_buf_t buffer =
        uv_buf_init(writing_.data() + written, static_cast<unsigned>(writing_.size() - written));
    auto on_written = [](uv_write_t *request, int status) {
        auto &link = *static_cast<HubLink *>(request->data);
        link.writing_.clear();
        if (status != 0)
            link.pending_.clear();
        link.write_pending();
        if (link.when_written_ && link.writing_.empty())
            std::exchange(link.when_written_, nullptr)();
    };
    if (int error =
            uv_write(&write_, reinterpret_cast<uv_stream_t *>(&pipe_), &buffer, 1, on_written))
        on_written(&write_, error);
}

void HubLink::when_written(std::function<void()> done) {
    write_pending();
    if (writing_.empty() || broken_)
        return done();
    when_written_ = std::move(done);
}

} // namespace rtd::gateway
