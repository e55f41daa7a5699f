// ByteWriter and ByteReader: the one binary encoding of rtd, shared by the event queue, the query
// worker's jobs and the link between hub and gateway. Integers are little-endian and fixed width,
// strings and lists carry a 32-bit count first. The reader never reads past its end and never
// throws: after the first short read every further read yields an empty value and ok() is false.
#pragma once
#include "core/fence.h"

#include <concepts>
#include <cstdint>
#include <cstring>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace rtd {

class ByteWriter {
  public:
    // Begins behind `room` bytes.
    explicit ByteWriter(size_t room = 0) : bytes_(room, '\0') {}

    // Room for this many bytes, for a writer that is used often: one allocation instead of several.
    void reserve(size_t size) { bytes_.reserve(size); }

    template <std::unsigned_integral T> void put(T value) {
        char raw[sizeof(T)];
        for (size_t i = 0; i < sizeof(T); i++)
            raw[i] = static_cast<char>(static_cast<uint64_t>(value) >> (8 * i));
        bytes_.append(raw, sizeof raw);
    }
    void put(int64_t value) { put(static_cast<uint64_t>(value)); }
    void put(bool value) { put(static_cast<uint8_t>(value)); }
    void put(std::string_view value) {
        put(static_cast<uint32_t>(value.size()));
        bytes_.append(value);
    }
    void put(const std::string &value) { put(std::string_view(value)); }
    void put(const char *value) = delete; // would convert to bool
    template <class T> void put(const std::optional<T> &value) {
        put(value.has_value());
        if (value)
            put(*value);
    }
    template <class T> void put(const std::vector<T> &values) {
        put(static_cast<uint32_t>(values.size()));
        for (const T &value : values)
            put(value);
    }
    template <class E>
    requires std::is_enum_v<E>
    void put(E value) { put(static_cast<std::underlying_type_t<E>>(value)); }

    std::string take() { return std::move(bytes_); }

  private:
    std::string bytes_;
};

class ByteReader {
  public:
    explicit ByteReader(std::string_view bytes) : rest_(bytes) {}

    bool ok() const { return ok_; }
    bool at_end() const { return rest_.empty(); }

    template <std::unsigned_integral T> void get(T &value) {
        value = 0;
        std::string_view raw = take(sizeof(T));
        for (size_t i = 0; i < raw.size(); i++)
            value |= static_cast<T>(static_cast<uint64_t>(static_cast<uint8_t>(raw[i])) << (8 * i));
    }
    void get(int64_t &value) {
        uint64_t raw = 0;
        get(raw);
        value = static_cast<int64_t>(raw);
    }
    void get(bool &value) {
        uint8_t raw = 0;
        get(raw);
        if (raw > 1)
            fail();
        value = raw == 1;
    }
    void get(std::string &value) {
        uint32_t size = 0;
        get(size);
        value = take(size);
    }
    template <class T> void get(std::optional<T> &value) {
        bool present = false;
        get(present);
        value.reset();
        if (present && ok_) {
            T content{};
            get(content);
            value = std::move(content);
        }
    }
    template <class T> void get(std::vector<T> &values) {
        uint32_t count = 0;
        get(count);
        values.clear();
        // A count is only believed as far as bytes are there: each element takes at least one.
        if (count > rest_.size())
            return fail();
        for (uint32_t i = 0; i < count && ok_; i++)
            get(values.emplace_back());
    }
    // An enum is checked against its last value, so it must be dense from 0.
    template <class E>
    requires std::is_enum_v<E>
    void get_enum(E &value, E last) {
        std::underlying_type_t<E> raw{};
        get(raw);
        if (raw > static_cast<std::underlying_type_t<E>>(last))
            return fail();
        value = static_cast<E>(raw);
    }

  private:
    std::string_view take(size_t size) {
        if (!ok_ || size > rest_.size()) {
            fail();
            return {};
        }
        std::string_view taken = rest_.substr(0, size);
        rest_.remove_prefix(size);
        return taken;
    }
    void fail() {
        ok_ = false;
        rest_ = {};
    }

    std::string_view rest_;
    bool ok_ = true;
};

} // namespace rtd
