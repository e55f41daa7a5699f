// FieldWriter and FieldReader: encoding and decoding from one list of fields, so that they cannot
// disagree. A struct has one function `template <class IO> void fields(IO &io, T &value)` that
// calls io(member) for each member, io.choice(member, last) for an enum that is dense from 0, and
// io.list(member) for a vector of structs that have such a function themselves. It lives in the
// namespace of the struct, where it is found by its argument. io.variant(member) is for a variant
// of such structs.
#pragma once
#include "core/bytes.h"
#include "core/fence.h"

#include <string>
#include <string_view>
#include <variant>
#include <vector>

namespace rtd {

class FieldWriter {
  public:
    explicit FieldWriter(size_t expected_bytes = 0, size_t room = 0) : out_(room) {
        out_.reserve(expected_bytes);
    }

    template <class T> void operator()(T &value) { out_.put(value); }
    template <class E> void choice(E &value, E) { out_.put(value); }
    template <class T> void list(std::vector<T> &values) {
        out_.put(static_cast<uint32_t>(values.size()));
        for (T &value : values)
            fields(*this, value);
    }
    template <class... T> void variant(std::variant<T...> &value) {
        auto tag = static_cast<uint8_t>(value.index());
        out_.put(tag);
        std::visit([&](auto &alternative) { fields(*this, alternative); }, value);
    }
    std::string take() { return out_.take(); }

  private:
    ByteWriter out_;
};

class FieldReader {
  public:
    explicit FieldReader(std::string_view bytes) : in_(bytes) {}

    template <class T> void operator()(T &value) { in_.get(value); }
    template <class E> void choice(E &value, E last) { in_.get_enum(value, last); }
    template <class T> void list(std::vector<T> &values) {
        uint32_t count = 0;
        in_.get(count);
        values.clear();
        for (uint32_t i = 0; i < count && in_.ok(); i++)
            fields(*this, values.emplace_back());
    }
    template <class... T> void variant(std::variant<T...> &value) {
        uint8_t tag = 0;
        in_.get(tag);
        if (!alternative<0>(tag, value))
            is_valid_ = false;
    }
    // Everything was there, and nothing more.
    bool is_complete() const { return is_valid_ && in_.ok() && in_.at_end(); }

  private:
    template <size_t I, class... T> bool alternative(uint8_t tag, std::variant<T...> &value) {
        if constexpr (I == sizeof...(T)) {
            return false;
        } else {
            if (tag != I)
                return alternative<I + 1>(tag, value);
            fields(*this, value.template emplace<I>());
            return true;
        }
    }

    ByteReader in_;
    bool is_valid_ = true;
};

template <class T> void write(FieldWriter &writer, const T &value) {
    fields(writer, const_cast<T &>(value)); // a writer only reads it
}

// `expected_bytes` spares the result from growing piece by piece.
template <class T> std::string encode_fields(const T &value, size_t expected_bytes = 0) {
    FieldWriter writer(expected_bytes);
    write(writer, value);
    return writer.take();
}

// False if the bytes are no T.
template <class T> bool decode_fields(std::string_view bytes, T &value) {
    FieldReader reader(bytes);
    fields(reader, value);
    return reader.is_complete();
}

// A variant: which alternative as one byte, then its fields. `room` bytes before them are for the
// caller to fill.
template <class... T> std::string encode_variant(const std::variant<T...> &value, size_t room = 0) {
    constexpr size_t kUsualBytes = 64; // most frames of the link are smaller
    FieldWriter writer(kUsualBytes, room);
    writer.variant(const_cast<std::variant<T...> &>(value)); // a writer only reads it
    return writer.take();
}

template <class... T> bool decode_variant(std::string_view bytes, std::variant<T...> &value) {
    FieldReader reader(bytes);
    reader.variant(value);
    return reader.is_complete();
}

} // namespace rtd
