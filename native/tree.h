// The nearest centroid through groups of centroids: only the groups whose heads are nearest are searched.
#pragma once

#include "centroids.h"
#include "ivf.h"

namespace plait::PLAIT_ISA {
namespace {

// Vectors are sorted by group within a block, so that a group's centroids are read once for many vectors.
constexpr int64_t kBlock = 4096;

class GroupSearch {
public:
    explicit GroupSearch(const AssignGroupedArgs& args)
        : args_(args), width_(round_up(args.dim, DotBytes::kPack)), query_(kAssignLanes, args.dim),
          heads_(args.heads, args.dim), centroids_(args.centroids, args.dim), values_(kBlock * width_),
          table_(args.ngroups * kAssignLanes), probes_(kBlock * args.nprobe), ends_(args.ngroups + 1),
          members_(kBlock * args.nprobe), best_(kBlock), lane_best_(kAssignLanes), index_(kBlock),
          lane_index_(kAssignLanes) {}

    explicit operator bool() const {
        return query_ && heads_ && centroids_ && values_ && table_ && probes_ && ends_ && members_ && best_ &&
               lane_best_ && index_ && lane_index_;
    }

    Status run(int64_t start, int64_t count) {
        for (int64_t i = 0; i < count; ++i)
            quantise(args_.vectors + (start + i) * args_.dim, args_.dim, values_.data() + i * width_);
        for (int64_t first = 0; first < count; first += kAssignLanes)
            if (const Status status = probe(first, smaller_of(kAssignLanes, count - first));
                status.fault != Fault::none)
                return status;
        sort_by_group(count);
        for (int64_t i = 0; i < count; ++i) best_[i] = kMinusInfinity, index_[i] = 0;
        for (int64_t group = 0, begin = 0; group < args_.ngroups; begin = ends_[group++])
            for (; begin < ends_[group]; begin += kAssignLanes)
                search(group, members_.data() + begin, smaller_of(kAssignLanes, ends_[group] - begin));
        for (int64_t i = 0; i < count; ++i) args_.codes[start + i] = static_cast<uint32_t>(index_[i]);
        return kDone;
    }

private:
    static constexpr uint32_t kNone = UINT32_MAX;

    void set_lanes(int64_t count) { query_.packed.lanes = round_up(count, 16); }

    // The groups to search for some of the block's vectors.
    Status probe(int64_t first, int64_t count) {
        set_lanes(count);
        const int64_t lanes = query_.packed.lanes;
        for (int64_t lane = 0; lane < count; ++lane)
            query_.put(lane, args_.dim, values_.data() + (first + lane) * width_);
        TableJob job{query_.bias.data(), nullptr, nullptr, lanes};
        for_tiles<DotBytes::kTile>(args_.ngroups, [&](auto tile, int64_t head) {
            job.row_scale = args_.head_scale + head;
            job.table = table_.data() + head * lanes;
            multiply_tile<DotBytes, tile.value>(job, heads_.tile(head, tile.value), heads_.stride(), query_.packed);
        });
        uint32_t* probes = probes_.data() + first * args_.nprobe;
        const Status status = top_centroids({table_.data(), args_.ngroups, lanes, count, args_.nprobe, probes});
        if (status.fault != Fault::none) return status;
        for (int64_t lane = 0; lane < count; ++lane)
            drop_far(lane, length(values_.data() + (first + lane) * width_), probes + lane * args_.nprobe);
        return kDone;
    }

    float length(const DotBytes::Query* values) const {
        int32_t sum = 0;
        for (int64_t d = 0; d < args_.dim; ++d) sum += values[d] * values[d];
        return __builtin_sqrtf(static_cast<float>(sum));
    }

    // Leaves out the groups of one vector whose heads are much farther than the nearest.
    void drop_far(int64_t lane, float length, uint32_t* probes) const {
        const int16_t* table = table_.data() + lane;
        const int64_t lanes = query_.packed.lanes;
        const float least = table[probes[0] * lanes] - args_.margin * length;
        for (int64_t i = 1; i < args_.nprobe; ++i)
            if (table[probes[i] * lanes] < least) probes[i] = kNone;
    }

    // Counting sort: members_[ends_[g - 1]:ends_[g]] are the vectors that search group g.
    void sort_by_group(int64_t count) {
        const int64_t pairs = count * args_.nprobe;
        for (int64_t group = 0; group <= args_.ngroups; ++group) ends_[group] = 0;
        for (int64_t i = 0; i < pairs; ++i)
            if (probes_[i] != kNone) ++ends_[probes_[i] + 1];
        for (int64_t group = 0; group < args_.ngroups; ++group) ends_[group + 1] += ends_[group];
        for (int64_t i = 0; i < pairs; ++i)
            if (probes_[i] != kNone) members_[ends_[probes_[i]]++] = static_cast<int32_t>(i / args_.nprobe);
    }

    void search(int64_t group, const int32_t* members, int64_t count) {
        set_lanes(count);
        for (int64_t lane = 0; lane < count; ++lane) {
            query_.put(lane, args_.dim, values_.data() + members[lane] * width_);
            lane_best_[lane] = best_[members[lane]];
            lane_index_[lane] = index_[members[lane]];
        }
        const int64_t begin = args_.offsets[group];
        AssignJob job{query_.bias.data(), nullptr, 0, lane_best_.data(), lane_index_.data()};
        for_tiles<DotBytes::kTile>(args_.offsets[group + 1] - begin, [&](auto tile, int64_t first) {
            job.scales = args_.scales + begin + first;
            job.first = static_cast<int32_t>(begin + first);
            multiply_tile<DotBytes, tile.value>(job, centroids_.tile(begin + first, tile.value),
                                                centroids_.stride(), query_.packed);
        });
        for (int64_t lane = 0; lane < count; ++lane) {
            best_[members[lane]] = lane_best_[lane];
            index_[members[lane]] = lane_index_[lane];
        }
    }

    const AssignGroupedArgs& args_;
    int64_t width_;
    ByteQuery query_;
    CentroidRows heads_, centroids_;
    Scratch<DotBytes::Query> values_;
    Scratch<int16_t> table_;
    Scratch<uint32_t> probes_;
    Scratch<int64_t> ends_;
    Scratch<int32_t> members_;
    Scratch<float> best_, lane_best_;
    Scratch<int32_t> index_, lane_index_;
};

Status assign_grouped(const AssignGroupedArgs& args) {
    GroupSearch search(args);
    if (!search) return {Fault::memory, 0};
    for (int64_t start = 0; start < args.count; start += kBlock)
        if (const Status status = search.run(start, smaller_of(kBlock, args.count - start));
            status.fault != Fault::none)
            return status;
    return kDone;
}

}  // namespace
}  // namespace plait::PLAIT_ISA
