// Histogram: counts of nanoseconds in buckets that are at most 1/64 of their value wide, so that a
// quantile of millions of latencies costs some memory once and nothing for each of them.
#pragma once
#include <algorithm>
#include <array>
#include <bit>
#include <cstddef>
#include <cstdint>

namespace rtd::bench {

class Histogram {
  public:
    void add(uint64_t value) {
        counts_[bucket(value)]++;
        total_++;
        max_ = std::max(max_, value);
    }
    uint64_t total() const { return total_; }
    uint64_t max() const { return max_; }
    // The upper end of the bucket below which the share `q` of all values lies.
    uint64_t quantile(double q) const {
        auto wanted = static_cast<uint64_t>(q * static_cast<double>(total_));
        uint64_t seen = 0;
        for (size_t i = 0; i < counts_.size(); i++)
            if ((seen += counts_[i]) > wanted)
                return std::min(upper_end(i), max_);
        return max_;
    }

  private:
    static constexpr unsigned kBits = 6; // 64 buckets for each power of two
    static size_t bucket(uint64_t value) {
        if (value < 1u << kBits)
            return value;
        unsigned shift = static_cast<unsigned>(std::bit_width(value)) - 1 - kBits;
        return (static_cast<size_t>(shift) << kBits) + (value >> shift);
    }
    static uint64_t upper_end(size_t bucket) {
        if (bucket < 2u << kBits)
            return bucket;
        unsigned shift = static_cast<unsigned>(bucket >> kBits) - 1;
        return ((bucket - (static_cast<uint64_t>(shift) << kBits) + 1) << shift) - 1;
    }

    std::array<uint64_t, (64 - kBits + 1) << kBits> counts_{};
    uint64_t total_ = 0;
    uint64_t max_ = 0;
};

} // namespace rtd::bench
