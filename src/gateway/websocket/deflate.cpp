#include "gateway/websocket/deflate.h"

#include <cassert>
#include <new>

namespace rtd {

namespace {

constexpr int kMemoryLevel = 7;       // 80 kB; with this window more is slower and saves nothing
constexpr size_t kBlockBytes = 16384; // of output at a time
// What a flush ends with. It is not sent, as the receiver knows it.
constexpr std::string_view kTail("\x00\x00\xff\xff", 4);

// zlib reads through the pointer and takes it as one to what could be changed.
void set_input(z_stream &stream, std::string_view bytes) {
    stream.next_in = reinterpret_cast<Bytef *>(const_cast<char *>(bytes.data()));
    stream.avail_in = static_cast<uInt>(bytes.size());
}

void set_output(z_stream &stream, char *block) {
    stream.next_out = reinterpret_cast<Bytef *>(block);
    stream.avail_out = kBlockBytes;
}

} // namespace

Deflater::Deflater(int level, int window_bits) {
    // A negative size of the window: deflate without the header and checksum of a file.
    if (deflateInit2(&stream_, level, Z_DEFLATED, -window_bits, kMemoryLevel, Z_DEFAULT_STRATEGY) !=
        Z_OK)
        throw std::bad_alloc();
}

Deflater::~Deflater() {
    deflateEnd(&stream_);
}

std::optional<std::string> Deflater::deflate(std::string_view body) {
    size_t most = body.size() - body.size() / 8;
    deflateReset(&stream_);
    set_input(stream_, body);
    std::string payload;
    char block[kBlockBytes];
    do {
        set_output(stream_, block);
        [[maybe_unused]] int result = ::deflate(&stream_, Z_SYNC_FLUSH);
        assert(result == Z_OK || result == Z_BUF_ERROR); // the latter: the last block was full
        payload.append(block, kBlockBytes - stream_.avail_out);
        if (payload.size() > most + kTail.size())
            return std::nullopt;
    } while (stream_.avail_out == 0);
    assert(payload.ends_with(kTail));
    payload.resize(payload.size() - kTail.size());
    return payload;
}

Inflater::Inflater() {
    // The largest window: a client may use it, as we have not answered its client_max_window_bits.
    if (inflateInit2(&stream_, -MAX_WBITS) != Z_OK)
        throw std::bad_alloc();
}

Inflater::~Inflater() {
    inflateEnd(&stream_);
}

Inflater::Outcome Inflater::inflate(std::string_view payload, size_t max_bytes, std::string &text) {
    text.clear();
    inflateReset(&stream_);
    for (std::string_view part : {payload, kTail})
        if (Outcome outcome = append(part, max_bytes, text); outcome != Outcome::whole)
            return outcome;
    // zlib's way to say that it stands between two blocks, where a flush has left it.
    constexpr int kBetweenBlocks = 128;
    return (stream_.data_type & kBetweenBlocks) != 0 ? Outcome::whole : Outcome::broken;
}

Inflater::Outcome Inflater::append(std::string_view payload, size_t max_bytes, std::string &text) {
    char block[kBlockBytes];
    set_input(stream_, payload);
    do {
        set_output(stream_, block);
        int result = ::inflate(&stream_, Z_SYNC_FLUSH);
        if (result == Z_MEM_ERROR)
            throw std::bad_alloc();
        text.append(block, kBlockBytes - stream_.avail_out);
        if (text.size() > max_bytes)
            return Outcome::too_big;
        // A block may say that it is the last one (RFC 7692, section 7.2.3.4); others may follow.
        if (result == Z_STREAM_END)
            inflateReset(&stream_);
        else if (result != Z_OK && result != Z_BUF_ERROR)
            return Outcome::broken;
    } while (stream_.avail_in > 0 || stream_.avail_out == 0);
    return Outcome::whole;
}

} // namespace rtd
