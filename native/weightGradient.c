/* The gradients of weights: sums of outer products over pixels. */
#include <string.h>
#include "dots.h"

/** NAME(a, b, depth, c, cStride, add): c[m][n] (+)= Σ over k of a[k][m] · b[k][n]; OUTER_ROWS rows. */
#define DEFINE_OUTER(NAME, P, VECTORS) \
  static void NAME(const int32_t *a, const int32_t *b, long depth, float *c, long cStride, int add) { \
    CLEAR(OUTER_ROWS, VECTORS, P##_SUM, sums) \
    for (long k = 0; k < depth; k++) { \
      ACCUMULATE(P, OUTER_ROWS, VECTORS, a + m, b) \
      a += OUTER_ROWS; \
    } \
    UNROLL(16) for (int m = 0; m < OUTER_ROWS; m++) \
      UNROLL(4) for (int n = 0; n < VECTORS; n++) { \
        Vector *target = (Vector *)(c + m * cStride + n * VECTOR); \
        Vector sum = P##_RESULT(sums[m][n]); \
        if (add) sum += *target; \
        *target = sum; \
      } \
  }

DEFINE_OUTER(floatOuter, FLOAT, OUTER_COLUMNS / VECTOR)
DEFINE_OUTER(floatNarrowOuter, FLOAT, LANES / VECTOR)

#if HAS_BFLOAT16
DEFINE_OUTER(bfloat16Outer, BFLOAT16, OUTER_COLUMNS / VECTOR)
DEFINE_OUTER(bfloat16NarrowOuter, BFLOAT16, LANES / VECTOR)
#endif

typedef void (*OuterFunction)(const int32_t *, const int32_t *, long, float *, long, int);

/** @param columns OUTER_COLUMNS or LANES */
static OuterFunction outerFunction(int format, long columns) {
#if HAS_BFLOAT16
  if (format == BFLOAT16) return columns == OUTER_COLUMNS ? bfloat16Outer : bfloat16NarrowOuter;
#endif
  (void)format;
  return columns == OUTER_COLUMNS ? floatOuter : floatNarrowOuter;
}

/** Pixels whose gradients are packed at a time, for GRADIENT_CHANNELS input channels. */
#define GRADIENT_PIXELS 256

typedef struct {
  const Context *context;
  const weightGradientCall *call;
  long inHeight, inWidth, inChannels, outHeight, outWidth, outChannels, kernel, stride, padding;
  long splits, channelBlocks, pixels, pixelsPerSplit;
} WeightGradient;

/** An output pixel, and what a tap reads for it. */
typedef struct {
  const WeightGradient *g;
  const char *x;
  long pixelBytes, dy, dx, image, i, j;
} Walk;

static Walk walkFrom(const WeightGradient *g, const char *x, long pixelBytes, long q, long tap) {
  const long perImage = g->outHeight * g->outWidth;
  return (Walk){
    .g = g, .x = x, .pixelBytes = pixelBytes,
    .dy = tap / g->kernel - g->padding, .dx = tap % g->kernel - g->padding,
    .image = q / perImage, .i = q % perImage / g->outWidth, .j = q % g->outWidth,
  };
}

/** The pixel that the tap reads, or NULL in the padding; goes on to the next output pixel. */
static inline const char *nextSource(Walk *walk) {
  const WeightGradient *g = walk->g;
  const long h = walk->i * g->stride + walk->dy, w = walk->j * g->stride + walk->dx;
  const long image = walk->image;
  if (++walk->j == g->outWidth) {
    walk->j = 0;
    if (++walk->i == g->outHeight) {
      walk->i = 0;
      walk->image++;
    }
  }
  if (h < 0 || h >= g->inHeight || w < 0 || w >= g->inWidth) return NULL;
  return walk->x + ((image * g->inHeight + h) * g->inWidth + w) * walk->pixelBytes;
}

static const char zeroPixel[GRADIENT_CHANNELS * 4] __attribute__((aligned(ALIGNMENT)));

static inline Vector levelsToFloats(const uint8_t *levels) {
#if defined(__AVX512F__)
  return (Vector)_mm512_cvtepi32_ps(_mm512_cvtepu8_epi32(_mm_loadu_si128((const __m128i *)levels)));
#elif defined(__AVX2__)
  return (Vector)_mm256_cvtepi32_ps(_mm256_cvtepu8_epi32(_mm_loadl_epi64((const __m128i *)levels)));
#elif defined(__aarch64__)
  uint32_t four;
  memcpy(&four, levels, 4);
  return (Vector)vcvtq_f32_u32(vmovl_u16(vget_low_u16(vmovl_u8(vcreate_u8(four)))));
#else
  Vector values;
  for (int i = 0; i < VECTOR; i++) values[i] = levels[i];
  return values;
#endif
}

static inline Vector loadValues(const char *at, int format) {
  return format == LEVELS8 ? levelsToFloats((const uint8_t *)at) : *(const Vector *)at;
}

/** A vector of channels of two pixels side by side, low halves first. Values must be exact in bfloat16, or are cut to it. */
static inline IntVector pairValues(const char *first, const char *second, int format) {
  const IntVector low = (IntVector)loadValues(first, format), high = (IntVector)loadValues(second, format);
  return ((low >> 16) & 0xffff) | (high & (int32_t)0xffff0000);
}

/**
 * Dwords between two blocks of packed inputs. A product reads OUTER_ROWS channels of one pixel after the other, so these lie
 * together, [block of channels][step][OUTER_ROWS]; blocks that lay a power of two apart would meet in the same cache lines.
 */
#define BLOCK_STRIDE (OUTER_ROWS * GRADIENT_PIXELS + LANES)
_Static_assert(VECTOR % OUTER_ROWS == 0 && GRADIENT_CHANNELS % VECTOR == 0, "a vector of channels ends inside a block");
_Static_assert(OUTER_COLUMNS % VECTOR == 0 && OUTER_COLUMNS <= 2 * LANES, "columns that no product takes");

/**
 * What the tap reads for `count` output pixels, as above: a step is one pixel, or two (`perStep`).
 * @return steps
 */
static long packInputs(Walk walk, int format, long perStep, long count, long channels, int32_t *packed) {
  const long bytes = bytesPerValue(format);
  int32_t *step = packed;
  for (long k = 0; k < count; k += perStep, step += OUTER_ROWS) {
    const char *pixel = nextSource(&walk);
    if (!pixel) pixel = zeroPixel;
    const char *next = perStep == 2 && k + 1 < count ? nextSource(&walk) : NULL;
    if (!next) next = zeroPixel;
    for (long c = 0; c < channels; c += VECTOR) {
      const IntVector values = perStep == 2 ? pairValues(pixel + c * bytes, next + c * bytes, format)
                                            : (IntVector)loadValues(pixel + c * bytes, format);
      for (long r = 0; r < VECTOR; r += OUTER_ROWS)
        memcpy(step + (c + r) / OUTER_ROWS * BLOCK_STRIDE, (const int32_t *)&values + r, sizeof(int32_t) * OUTER_ROWS);
    }
  }
  return (step - packed) / OUTER_ROWS;
}

/** `columns` of the channels of the same pixels' gradients, from one on: [step][columns]. */
static void packGradients(const char *pixel, int format, long channels, long column, long columns, long count,
                          int32_t *packed) {
  const long bytes = bytesPerPixel(format, channels);
  if (format != BFLOAT16) {
    for (long k = 0; k < count; k++, pixel += bytes, packed += columns)
      readFloats(pixel, format, channels, column, columns, (float *)packed);
    return;
  }
  for (long k = 0; k < count; k += 2, pixel += 2 * bytes, packed += columns) {
    const uint16_t *first = (const uint16_t *)pixel + column;
    const uint16_t *second = k + 1 < count ? (const uint16_t *)(pixel + bytes) + column : (const uint16_t *)zeroPixel;
    for (long c = 0; c < columns; c++) packed[c] = (int32_t)((uint32_t)first[c] | (uint32_t)second[c] << 16);
  }
}

/** Columns of the next product, of so many that are left, a multiple of LANES at first: what remains is 0, or LANES or more. */
static long outerColumns(long left) {
  const long rest = left - OUTER_COLUMNS;
  return rest == 0 || rest >= LANES ? OUTER_COLUMNS : LANES;
}

static void weightGradientPiece(void *data, long index) {
  const WeightGradient *g = data;
  const Context *context = g->context;
  const weightGradientCall *call = g->call;
  const int inputFormat = (int)call->inputFormat, format = (int)call->format;
  const long split = index % g->splits;
  const long tap = index / g->splits / g->channelBlocks;
  const long firstChannel = index / g->splits % g->channelBlocks * GRADIENT_CHANNELS;
  const long channels = minLong(GRADIENT_CHANNELS, g->inChannels - firstChannel);
  const long rows = g->kernel * g->kernel * g->inChannels;
  const char *x = TENSOR(char, x) + firstChannel * bytesPerValue(inputFormat);
  const long pixelBytes = g->inChannels * bytesPerValue(inputFormat);
  const char *dy = TENSOR(char, dy);
  float *dw = TENSOR(float, dw) + (split * rows + tap * g->inChannels + firstChannel) * g->outChannels;

  const long perStep = format == BFLOAT16 ? 2 : 1;
  const long packedInputs = GRADIENT_CHANNELS / OUTER_ROWS * BLOCK_STRIDE;
  int32_t *a = scratch(sizeof(int32_t) * (size_t)(packedInputs + OUTER_COLUMNS * GRADIENT_PIXELS));
  int32_t *b = a + packedInputs;
  const long first = split * g->pixelsPerSplit;
  const long end = minLong(g->pixels, first + g->pixelsPerSplit);
  if (first >= end) {
    for (long c = 0; c < channels; c++) memset(dw + c * g->outChannels, 0, sizeof(float) * (size_t)g->outChannels);
  }
  for (long start = first; start < end; start += GRADIENT_PIXELS) {
    const long count = minLong(GRADIENT_PIXELS, end - start);
    const long depth = packInputs(walkFrom(g, x, pixelBytes, start, tap), inputFormat, perStep, count, channels, a);
    for (long column = 0, columns; column < g->outChannels; column += columns) {
      columns = outerColumns(g->outChannels - column);
      const char *gradients = dy + start * bytesPerPixel(format, g->outChannels);
      packGradients(gradients, format, g->outChannels, column, columns, count, b);
      const OuterFunction outer = outerFunction(format, columns);
      for (long c = 0; c < channels; c += OUTER_ROWS)
        outer(a + c / OUTER_ROWS * BLOCK_STRIDE, b, depth, dw + c * g->outChannels + column, g->outChannels, start > first);
    }
  }
}

/** dw [splits][taps · inChannels, outChannels]: the sum over splits is the gradient. */
void weightGradient(const Context *context, const weightGradientCall *call) {
  WeightGradient g = {
    .context = context, .call = call,
    .inHeight = (long)call->inHeight, .inWidth = (long)call->inWidth,
    .inChannels = (long)call->inChannels, .outHeight = (long)call->outHeight, .outWidth = (long)call->outWidth,
    .outChannels = (long)call->outChannels, .kernel = (long)call->kernel, .stride = (long)call->stride,
    .padding = (long)call->padding, .splits = (long)call->splits,
  };
  g.channelBlocks = ceilDivide(g.inChannels, GRADIENT_CHANNELS);
  g.pixels = (long)call->batch * g.outHeight * g.outWidth;
  g.pixelsPerSplit = ceilDivide(ceilDivide(g.pixels, g.splits), GRADIENT_PIXELS) * GRADIENT_PIXELS;
  parallel(context->pool, g.kernel * g.kernel * g.channelBlocks * g.splits, weightGradientPiece, &g);
}
