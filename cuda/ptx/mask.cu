// The threshold forms of Mask: scores T×I → mask T×I, one byte an element, 1 for active and 0 for not.
// s ≥ τ is false if s is NaN, so a NaN is never active. Every element of the mask is written.

// One threshold for all n elements.
extern "C" __global__ void mask_threshold_f32(unsigned char *__restrict__ mask, const float *__restrict__ scores,
                                              float tau, int magnitude, long long n) {
  long long i = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (i >= n) return;
  float s = scores[i];
  mask[i] = (magnitude ? fabsf(s) : s) >= tau;
}

// A threshold for each column. Rows beyond the grid's height are taken in further rounds.
extern "C" __global__ void mask_thresholds_f32(unsigned char *__restrict__ mask, const float *__restrict__ scores,
                                               const float *__restrict__ tau, int magnitude, long long rows,
                                               long long columns) {
  long long column = (long long)blockIdx.x * blockDim.x + threadIdx.x;
  if (column >= columns) return;
  float limit = tau[column];
  for (long long row = blockIdx.y; row < rows; row += gridDim.y) {
    float s = scores[row * columns + column];
    mask[row * columns + column] = (magnitude ? fabsf(s) : s) >= limit;
  }
}
