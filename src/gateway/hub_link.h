// HubLink: the gateway's end of the socketpair to the hub. Frames out are collected for a turn of
// the loop and go out in one write, because every write wakes the hub. Frames in are handed on one
// by one. The hub is the parent process and trusted; a malformed frame means different builds.
//
// A hub that takes less than it is sent makes the link congested: then no client is read whose
// bytes could become frames (session/connection.h), so what waits is bounded however many clients
// there are, and their own machines slow them down.
#pragma once
#include "core/byte_queue.h"
#include "core/fence.h"
#include "core/link.h"
#include "gateway/session/hub.h"

#include <functional>
#include <string>
#include <uv.h>
#include <vector>

namespace rtd::gateway {

class HubLink : public net::Hub {
  public:
    using OnFrame = std::function<void(link::HubFrame &)>;
    // `error` is empty if the hub closed its end.
    using OnEnd = std::function<void(const std::string &error)>;

    // 0, or a libuv error if `fd` is no stream socket.
    int open(uv_loop_t *loop, int fd);
    // `on_read` is called after the frames of one read of the link, `on_room` when it is congested
    // no more.
    void start(OnFrame on_frame, std::function<void()> on_read, std::function<void()> on_room,
               OnEnd on_end);

    void send(const link::GatewayFrame &frame) override;
    bool is_congested() const override { return is_congested_; }
    void hold_back(bool held) override;
    // Calls `done` once everything sent so far is written, or the link is broken.
    void when_written(std::function<void()> done);

  private:
    void start_reading();
    void read(ssize_t size, const char *bytes);
    void read_frames();
    void end(const std::string &error);
    void write_pending();
    void write_rest();
    void note_room();

    uv_pipe_t pipe_{};
    uv_idle_t turn_{}; // active while something is pending that nobody writes yet
    OnFrame on_frame_;
    std::function<void()> on_read_;
    std::function<void()> on_room_;
    OnEnd on_end_;
    link::FrameReader<link::HubFrame> reader_;
    std::vector<char> read_buffer_;

    uv_write_t write_{};
    ByteQueue pending_;
    std::string writing_;
    bool is_writing_ = false; // by the loop, as the hub did not take it at once
    bool is_congested_ = false;
    bool broken_ = false;
    bool held_back_ = false;
    std::function<void()> when_written_;
};

} // namespace rtd::gateway
