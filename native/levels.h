// Rows of the scaled codec to levels around 64: the three parts one after the other, each in the
// order of Layout (portable.h).
#pragma once

#include "portable.h"

namespace plait::PLAIT_ISA {
namespace {

class LevelRows {
public:
    using Dot = DotLevels;

    // `levels`: of 4-bit buckets at 0, of 2-bit buckets at 16, of 1-bit buckets at 32.
    LevelRows(const int64_t* bits, const uint8_t* levels)
        : part4_(bits[0], 4, Dot::kPack), part2_(bits[1], 2, Dot::kPack), part1_(bits[2], 1, Dot::kPack) {
        decoder4_.prepare(levels, part4_);
        decoder2_.prepare(levels + 16, part2_);
        decoder1_.prepare(levels + 32, part1_);
    }

    explicit operator bool() const { return true; }
    int64_t positions() const { return part4_.positions() + part2_.positions() + part1_.positions(); }

    // The dimension at each position.
    void map(int64_t* dimension) const {
        const Layout* parts[] = {&part4_, &part2_, &part1_};
        int64_t before = 0;
        for (const Layout* part : parts) {
            const int64_t dims = part->bytes * part->stripes;
            part->map(dims, dimension);
            for (int64_t p = 0; p < part->positions(); ++p) dimension[p] += before;
            dimension += part->positions();
            before += dims;
        }
    }

    // A part may be stored in whole vectors; what that spoils of the next part is written later.
    PLAIT_INLINE void decode(const uint8_t* row, int64_t row_bytes, int count, const uint8_t* end, Dot::Row* out,
                             int64_t stride) const {
        for (int i = 0; i < count; ++i, row += row_bytes, out += stride) {
            const uint8_t *row2 = row + part4_.bytes, *row1 = row2 + part2_.bytes;
            Dot::Row *out2 = out + part4_.positions(), *out1 = out2 + part2_.positions();
            if (part4_.bytes) decoder4_.decode(row, end, part4_, out);
            if (part2_.bytes) decoder2_.decode(row2, end, part2_, out2);
            if (part1_.bytes) decoder1_.decode(row1, end, part1_, out1);
        }
    }

private:
    Layout part4_, part2_, part1_;
    Decoder<4> decoder4_;
    Decoder<2> decoder2_;
    Decoder<1> decoder1_;
};

}  // namespace
}  // namespace plait::PLAIT_ISA
