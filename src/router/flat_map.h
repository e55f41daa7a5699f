// FlatMap: from a 64-bit hash to a pointer. A look-up fetches one place from memory: the standard
// library's map fetches three, one after the other, and among many entries each of them is a wait.
//
// An entry is at the first free place from the one that its key says (linear probing), and at most
// half of the places are taken. Keys come from texts that clients choose, so what says the place
// has a seed that they do not know.
#pragma once
#include "core/fence.h"

#include <bit>
#include <cstddef>
#include <cstdint>
#include <random>
#include <utility>
#include <vector>

namespace rtd {

template <class T> class FlatMap {
  public:
    explicit FlatMap(uint64_t seed) : factor_(std::mt19937_64(seed)() | 1) {}

    size_t size() const { return size_; }

    // nullptr: there is none.
    T *find(uint64_t key) const { return places_.empty() ? nullptr : places_[place_of(key)].value; }

    // Has the memory fetched that find() needs.
    void prefetch(uint64_t key) const {
        if (!places_.empty())
            __builtin_prefetch(&places_[first_place(key)]);
    }

    // `value` is not nullptr; it replaces what the key had.
    void put(uint64_t key, T *value) {
        if (places_.size() < 2 * (size_ + 1))
            grow();
        Place &place = places_[place_of(key)];
        size_ += place.value == nullptr ? 1 : 0;
        place = {key, value};
    }

    void erase(uint64_t key) {
        if (find(key) == nullptr)
            return;
        size_t hole = place_of(key);
        // Who came later and had to go on from the hole takes it.
        for (size_t at = next(hole); places_[at].value != nullptr; at = next(at))
            if (distance(first_place(places_[at].key), at) >= distance(hole, at))
                places_[std::exchange(hole, at)] = places_[at];
        places_[hole] = {};
        size_--;
    }

  private:
    struct Place {
        uint64_t key = 0;
        T *value = nullptr; // nullptr: it is free
    };
    static constexpr size_t kFewest = 16;

    size_t first_place(uint64_t key) const {
        return key * factor_ >> (64 - std::bit_width(places_.size() - 1));
    }
    size_t next(size_t place) const { return (place + 1) & (places_.size() - 1); }
    size_t distance(size_t from, size_t to) const { return (to - from) & (places_.size() - 1); }
    // The key's, or the free one that it would get.
    size_t place_of(uint64_t key) const {
        size_t place = first_place(key);
        while (places_[place].value != nullptr && places_[place].key != key)
            place = next(place);
        return place;
    }
    void grow() {
        std::vector<Place> former(places_.empty() ? kFewest : 2 * places_.size());
        former.swap(places_);
        for (const Place &place : former)
            if (place.value != nullptr)
                places_[place_of(place.key)] = place;
    }

    uint64_t factor_;
    std::vector<Place> places_; // a power of two
    size_t size_ = 0;
};

} // namespace rtd
