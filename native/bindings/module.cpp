// The door between Python and the kernels: the module, and the kernels of each instruction set.
#include <cstring>

#include "arguments.h"

namespace bindings {

namespace {

nb::list available_isas() {
    nb::list names;
    int count;
    const Kernels* const* list = plait::available_kernels(count);
    for (int i = 0; i < count; ++i) names.append(list[i]->name);
    return names;
}

const Kernels& kernels_of(const char* isa) {
    int count;
    const Kernels* const* list = plait::available_kernels(count);
    std::string names;
    for (int i = 0; i < count; ++i) {
        if (!std::strcmp(list[i]->name, isa)) return *list[i];
        names += std::string(i ? ", " : "") + list[i]->name;
    }
    refuse("this machine cannot run the kernels for " + std::string(isa) + "; it can run: " + names);
}

}  // namespace

}  // namespace bindings

NB_MODULE(_native, m) {
    using namespace bindings;
    m.doc() = "Native kernels. plait.kernels.reference says what each computes.";
    m.def("available_isas", &available_isas, "Instruction sets that this machine can run, slowest first.");
    m.def("kernels", &kernels_of, arg("isa"), nb::rv_policy::reference, "The kernels compiled for an instruction set.");
    Class kernels(m, "Kernels", "The kernels compiled for one instruction set.");
    kernels.def_prop_ro("isa", [](const Kernels& one) { return one.name; });
    bind_exact(kernels);
    bind_centroids(kernels);
    bind_residual(kernels);
    bind_scaled(kernels);
    bind_lists(kernels);
    bind_pooled(kernels);
    bind_bm25(kernels);
}
