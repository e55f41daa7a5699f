#include "gateway/hub_link.h"

#include <utility>

namespace rtd::gateway {

namespace {

constexpr size_t kReadBytes = 256 * 1024;
// More than this waits for the hub: the link is congested, until it is less than that.
constexpr size_t kCongestedBytes = 1024 * 1024;
constexpr size_t kRoomBytes = kCongestedBytes / 4;

} // namespace

int HubLink::open(uv_loop_t *loop, int fd) {
    uv_idle_init(loop, &turn_);
    turn_.data = this;
    uv_pipe_init(loop, &pipe_, 0);
    pipe_.data = this;
    write_.data = this;
    return uv_pipe_open(&pipe_, fd);
}

void HubLink::start(OnFrame on_frame, std::function<void()> on_read, std::function<void()> on_room,
                    OnEnd on_end) {
    on_frame_ = std::move(on_frame);
    on_read_ = std::move(on_read);
    on_room_ = std::move(on_room);
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
    pending_.append(link::encode(frame));
    is_congested_ = is_congested_ || pending_.size() > kCongestedBytes;
    if (!is_writing_)
        uv_idle_start(&turn_,
                      [](uv_idle_t *turn) { static_cast<HubLink *>(turn->data)->write_pending(); });
}

void HubLink::write_pending() {
    uv_idle_stop(&turn_);
    while (!is_writing_ && !pending_.empty() && !broken_) {
        std::string_view front = pending_.front();
        uv_buf_t buffer =
            uv_buf_init(const_cast<char *>(front.data()), static_cast<unsigned>(front.size()));
        int written = uv_try_write(reinterpret_cast<uv_stream_t *>(&pipe_), &buffer, 1);
        if (written == UV_EAGAIN)
            return write_rest();
        if (written < 0)
            return pending_.clear(); // the hub is gone; reading will say so
        pending_.consume(static_cast<size_t>(written));
    }
    note_room();
}

// One piece of it, once the hub takes something.
void HubLink::write_rest() {
    // A copy: what follows may be appended to the same block meanwhile.
    writing_ = pending_.front();
    uv_buf_t buffer = uv_buf_init(writing_.data(), static_cast<unsigned>(writing_.size()));
    auto on_written = [](uv_write_t *request, int status) {
        auto &link = *static_cast<HubLink *>(request->data);
        link.is_writing_ = false;
        if (status != 0)
            link.pending_.clear();
        else
            link.pending_.consume(link.writing_.size());
        link.writing_ = {};
        link.write_pending();
        if (link.when_written_ && !link.is_writing_)
            std::exchange(link.when_written_, nullptr)();
    };
    is_writing_ = true;
    if (int error =
            uv_write(&write_, reinterpret_cast<uv_stream_t *>(&pipe_), &buffer, 1, on_written))
        on_written(&write_, error);
}

void HubLink::note_room() {
    if (is_congested_ && pending_.size() < kRoomBytes) {
        is_congested_ = false;
        on_room_();
    }
}

void HubLink::when_written(std::function<void()> done) {
    write_pending();
    if (!is_writing_ || broken_)
        return done();
    when_written_ = std::move(done);
}

} // namespace rtd::gateway
