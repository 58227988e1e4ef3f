// A libcuda.so.1 for machines without a GPU, with what Gorgonia's CUDA build calls. Device memory is memory of the host,
// and a kernel is its CUDA source compiled for the host: one thread runs after the other, so it must not have barriers,
// shared memory or operations of a warp.
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <map>
#include <mutex>
#include <string>
#include <utility>

#define __global__
#define __restrict__ __restrict
struct Dim {
  unsigned x, y, z;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;
#include "../ptx/mask.cu"

namespace {
enum { OK = 0, INVALID_VALUE = 1, OUT_OF_MEMORY = 2, INVALID_DEVICE = 101, INVALID_IMAGE = 200, NOT_FOUND = 500 };

template <class... A, size_t... I> std::function<void(void **)> adapt(void (*kernel)(A...), std::index_sequence<I...>) {
  return [kernel](void **args) { kernel(*(A *)args[I]...); };
}
template <class... A> std::function<void(void **)> adapt(void (*kernel)(A...)) {
  return adapt(kernel, std::index_sequence_for<A...>());
}
const std::map<std::string, std::function<void(void **)>> kernels = {
#define KERNEL(name) {#name, adapt(name)}
    KERNEL(mask_threshold_f32),
    KERNEL(mask_thresholds_f32),
};

void *const context = (void *)1;

// The memory is filled, so that a kernel that relies on zeros fails.
int alloc(void **p, size_t n) {
  n = (n + 255) & ~size_t(255);
  *p = aligned_alloc(256, n);
  if (!*p) return OUT_OF_MEMORY;
  memset(*p, 0xa5, n);
  return OK;
}

template <class... A> void trace(const char *format, A... a) {
  static const bool on = getenv("HOSTSIM_TRACE");
  if (on) fprintf(stderr, format, a...);
}
} // namespace

extern "C" {
int cuInit(unsigned) { return OK; }
int cuDriverGetVersion(int *v) { return *v = 11080, OK; }
int cuDeviceGetCount(int *n) { return *n = 1, OK; }
int cuDeviceGet(int *d, int i) { return *d = i, i ? INVALID_DEVICE : OK; }
int cuDeviceGetAttribute(int *v, int attribute, int) {
  switch (attribute) {
  case 1: case 2: case 3: *v = 1024; break; // threads of a block, its width and height
  case 4: *v = 64; break;                   // its depth
  case 5: *v = 0x7fffffff; break;           // width of a grid
  case 6: case 7: *v = 65535; break;        // its height and depth
  case 10: *v = 32; break;                  // threads of a warp
  default: *v = 0;
  }
  return OK;
}
int cuCtxCreate_v2(void **c, unsigned, int) { return *c = context, OK; }
int cuCtxDestroy_v2(void *) { return OK; }
int cuCtxSetCurrent(void *) { return OK; }
int cuCtxGetCurrent(void **c) { return *c = context, OK; }
int cuCtxSynchronize() { return OK; }
int cuMemGetInfo_v2(size_t *available, size_t *total) { return *available = *total = size_t(4) << 30, OK; }
int cuMemAlloc_v2(void **p, size_t n) { return alloc(p, n); }
int cuMemAllocManaged(void **p, size_t n, unsigned) { return alloc(p, n); }
int cuMemFree_v2(void *p) { return free(p), OK; }
int cuMemcpy(void *to, const void *from, size_t n) { return memcpy(to, from, n), OK; }
int cuMemcpyHtoD_v2(void *to, const void *from, size_t n) {
  trace("copy %zu bytes to the device\n", n);
  return memcpy(to, from, n), OK;
}
int cuMemcpyDtoH_v2(void *to, const void *from, size_t n) {
  trace("copy %zu bytes to the host\n", n);
  return memcpy(to, from, n), OK;
}
int cuModuleLoadData(void **module, const void *text) {
  if (!strstr((const char *)text, ".version ")) return INVALID_IMAGE;
  return *module = strdup((const char *)text), OK;
}
int cuModuleLoadDataEx(void **module, const void *text, unsigned, int *, void **) {
  return cuModuleLoadData(module, text);
}
int cuModuleUnload(void *module) { return free(module), OK; }
int cuModuleGetFunction(const void **function, void *module, const char *name) {
  auto k = kernels.find(name);
  if (k == kernels.end() || !strstr((const char *)module, (".entry " + k->first + "(").c_str())) return NOT_FOUND;
  return *function = &*k, OK;
}
int cuGetErrorName(int, const char **name) { return *name = "an error of hostsim", OK; }
int cuLaunchKernel(void *function, unsigned gx, unsigned gy, unsigned gz, unsigned bx, unsigned by, unsigned bz,
                   unsigned shared, void *, void **args, void **) {
  auto &[name, run] = *(const decltype(kernels)::value_type *)function;
  trace("%s, grid %u %u %u, block %u %u %u\n", name.c_str(), gx, gy, gz, bx, by, bz);
  if (!gx || !gy || !gz || !bx || !by || !bz || shared) return INVALID_VALUE;
  if (gx > 0x7fffffff || gy > 65535 || gz > 65535 || bx > 1024 || by > 1024 || bz > 64 || bx * by * bz > 1024)
    return INVALID_VALUE;
  static std::mutex mutex; // threadIdx and the others are global
  std::lock_guard<std::mutex> lock(mutex);
  gridDim = {gx, gy, gz}, blockDim = {bx, by, bz};
  for (blockIdx.z = 0; blockIdx.z < gz; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < gy; blockIdx.y++)
      for (blockIdx.x = 0; blockIdx.x < gx; blockIdx.x++)
        for (threadIdx.z = 0; threadIdx.z < bz; threadIdx.z++)
          for (threadIdx.y = 0; threadIdx.y < by; threadIdx.y++)
            for (threadIdx.x = 0; threadIdx.x < bx; threadIdx.x++) run(args);
  return OK;
}
}
