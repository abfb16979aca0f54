// Rows of the scaled codec to levels around 64: the three parts one after the other, each in the
// order of Layout (portable.h).
#pragma once

#include "level_table.h"

namespace plait::PLAIT_ISA {
namespace {

class LevelRows {
public:
    using Dot = DotLevels;

    explicit LevelRows(const int64_t* bits)
        : part4_(bits[0], 4, Dot::kPack), part2_(bits[1], 2, Dot::kPack), part1_(bits[2], 1, Dot::kPack) {
        const LevelTable levels(kLevelZero);
        decoder4_.prepare(levels.bytes, part4_);
        decoder2_.prepare(levels.bytes + 16, part2_);
        decoder1_.prepare(levels.bytes + 32, part1_);
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

// The levels of packed rows in f32, in the order of the dimensions.
class FloatLevels {
public:
    explicit FloatLevels(const int64_t* bits) : bytes4_(bits[0] / 2), bytes2_(bits[1] / 4), bytes1_(bits[2] / 8) {
        fill<4>(table4_);
        fill<2>(table2_);
        fill<1>(table1_);
    }

    explicit operator bool() const { return true; }

    // Floats to keep for a row of `width` dimensions.
    static int64_t room(int64_t width) { return round_up(width, 16); }

    PLAIT_INLINE void decode(const uint8_t* row, float* out) const {
        row = put<4>(table4_, row, bytes4_, out);
        row = put<2>(table2_, row, bytes2_, out);
        put<1>(table1_, row, bytes1_, out);
    }

private:
    template <int kBits>
    static void fill(float (*table)[8 / kBits]) {
        for (int byte = 0; byte < 256; ++byte)
            for (int j = 0; j < 8 / kBits; ++j)
                table[byte][j] = levels_of<kBits>()[reversed<kBits>(byte >> (8 - kBits * (j + 1)))];
    }

    template <int kBits>
    static PLAIT_INLINE const uint8_t* put(const float (*table)[8 / kBits], const uint8_t* row, int64_t bytes,
                                           float*& out) {
        for (int64_t i = 0; i < bytes; ++i, out += 8 / kBits) __builtin_memcpy(out, table[row[i]], sizeof table[0]);
        return row + bytes;
    }

    int64_t bytes4_, bytes2_, bytes1_;
    float table4_[256][2], table2_[256][4], table1_[256][8];
};

}  // namespace
}  // namespace plait::PLAIT_ISA
