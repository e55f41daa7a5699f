// ByteQueue: bytes that wait to be written to a stream, in blocks. A block is freed once it is
// written, so the memory follows what waits: a burst leaves nothing behind, and a reader that is
// always a little late does not make the queue grow.
#pragma once
#include "core/fence.h"

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>

namespace rtd {

class ByteQueue {
  public:
    static constexpr size_t kBlockBytes = 64 * 1024;

    void append(std::string_view bytes) {
        size_ += bytes.size();
        if (!blocks_.empty() && blocks_.back().size() + bytes.size() <= kBlockBytes)
            blocks_.back().append(bytes);
        else if (!bytes.empty())
            blocks_.emplace_back(bytes);
    }
    bool empty() const { return size_ == 0; }
    size_t size() const { return size_; }

    // The first of them that lie together; stays where it is until it is consumed.
    std::string_view front() const {
        return blocks_.empty() ? std::string_view()
                               : std::string_view(blocks_.front()).substr(consumed_);
    }
    // `count` bytes of front() are written.
    void consume(size_t count) {
        consumed_ += count;
        size_ -= count;
        if (blocks_.empty() || consumed_ < blocks_.front().size())
            return;
        blocks_.pop_front();
        consumed_ = 0;
    }
    void clear() { *this = {}; }

  private:
    std::deque<std::string> blocks_; // none is empty
    size_t consumed_ = 0;            // of the first one
    size_t size_ = 0;
};

} // namespace rtd
