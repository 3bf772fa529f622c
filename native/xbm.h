/*
 * Kernels of the `native` engine. A step is a program: a list of kernel calls whose arguments are numbers, made once by
 * the TypeScript side (src/engines/native), which owns shapes, memory and order. Tensors are byte offsets into one arena,
 * aligned to 64 bytes.
 *
 * Feature maps lie as [pixels, channels], channels padded with zeros to a multiple of LANES. Results do not depend on the
 * number of threads: work is cut into pieces by the shapes alone, and partial sums are added in a fixed order.
 */
#pragma once
#include <stddef.h>
#include <stdint.h>
#if defined(__AVX__)
#include <immintrin.h>
#elif defined(__aarch64__)
#include <arm_neon.h>
#endif

/** Channels are padded to a multiple of this. */
#define LANES 16
#define ALIGNMENT 64

/**
 * Values of a vector register; what a product computes at once is TILE_ROWS × PANEL values, or OUTER_ROWS × OUTER_COLUMNS,
 * which with a row's vectors and a broadcast value fill the registers: 32 of AVX-512 and of NEON, 16 of the others.
 */
#if defined(__AVX512F__)
#define VECTOR 16
#define PANEL 32
#define TILE_ROWS 14
#define OUTER_ROWS 8
#define OUTER_COLUMNS 32
#elif defined(__AVX__)
#define VECTOR 8
#define PANEL 16
#define TILE_ROWS 6
#define OUTER_ROWS 4
#define OUTER_COLUMNS 24
#elif defined(__aarch64__)
#define VECTOR 4
#define PANEL 16
#define TILE_ROWS 6
#define OUTER_ROWS 4
#define OUTER_COLUMNS 16
#else
#define VECTOR 4
#define PANEL 16
#define TILE_ROWS 2
#define OUTER_ROWS 2
#define OUTER_COLUMNS 16
#endif

/** Largest kernel of a product, pixels along a side. */
#define MAX_KERNEL 16
/** Layers of a group of element-wise layers, its inputs included. */
#define MAX_VALUES 24
/** Input channels of one piece of a weight gradient. */
#define GRADIENT_CHANNELS 128

/**
 * Vectors of one batch norm in its coefficient tensor, as long as its padded channels. output = (input − mean) · scale +
 * shift; the last three are for the backward pass: 1/σ, and over all pixels the means of dL/doutput and of dL/doutput · x̂,
 * x̂ = (input − mean)/σ.
 */
#define COEFFICIENTS(V) \
  V(MEAN, mean) V(SCALE, scale) V(SHIFT, shift) V(INVERSE, inverse) V(MEAN_GRADIENT, meanGradient) \
  V(MEAN_PRODUCT, meanProduct)

/**
 * uint8 levels × int8 weights → int32, four at a time: the name of the instructions, and for which levels they are exact.
 * Without instructions for it x86 adds pairs of products in int16, and several pairs before it widens their sum: as many
 * as cannot overflow.
 * INT8_PRODUCT_LIMIT: largest magnitude of a product; INT8_SUM_LIMIT: of the sum of one product per dword.
 */
#if defined(__AVX512VNNI__) && defined(__AVX512BW__)
#define INT8_NAME "AVX-512 VNNI"
#elif defined(__AVX512BW__)
#define INT8_NAME "AVX-512"
#define INT8_IN_INT16 1
#elif defined(__AVXVNNI__) && !defined(__AVX512F__)
#define INT8_NAME "AVX-VNNI"
#elif defined(__AVX2__) && !defined(__AVX512F__)
#define INT8_NAME "AVX2"
#define INT8_IN_INT16 1
#elif defined(__aarch64__) && defined(__ARM_FEATURE_MATMUL_INT8)
#define INT8_NAME "i8mm"
#elif defined(__aarch64__) && defined(__ARM_FEATURE_DOTPROD)
#define INT8_NAME "dotprod"
/* It takes signed levels alone. */
#define INT8_LEVEL_LIMIT 127
#endif
#if defined(INT8_NAME)
#define HAS_INT8 1
#else
#define HAS_INT8 0
#define INT8_NAME ""
#endif
#if !defined(INT8_LEVEL_LIMIT)
#define INT8_LEVEL_LIMIT 255
#endif
#if defined(INT8_IN_INT16)
#define INT8_PRODUCT_LIMIT (INT16_MAX / 2)
#define INT8_SUM_LIMIT (INT16_MAX / 2)
#else
#define INT8_PRODUCT_LIMIT (255 * 128)
#define INT8_SUM_LIMIT (INT32_MAX / 4)
#endif
/** bfloat16 × bfloat16 → float32, two at a time. */
#if defined(__AVX512BF16__) && defined(__AVX512BW__)
#define HAS_BFLOAT16 1
#elif defined(__aarch64__) && defined(__ARM_FEATURE_BF16_VECTOR_ARITHMETIC)
#define HAS_BFLOAT16 1
#else
#define HAS_BFLOAT16 0
#endif

/**
 * int16 × int16 → int32, two at a time: gradients in fixed point where there is no bfloat16. x86 has it from AVX2 on, at
 * twice the rate of float32 or near it; wherever AVX-512 has it, there are int8 products, too.
 */
#if HAS_INT8 && defined(__AVX2__) && !HAS_BFLOAT16
#define HAS_FIXED16 1
#else
#define HAS_FIXED16 0
#endif
/** As many channels share one scale: products of the largest values with weights of 8 bits just fit in an int32 sum. */
#define FIXED16_CHANNELS 512
#define FIXED16_LIMIT INT16_MAX
_Static_assert((long long)FIXED16_CHANNELS * (FIXED16_LIMIT + 1) * 127 <= INT32_MAX, "sums overflow");

/**
 * How values of a tensor lie in memory. Levels take a byte: activations' are unsigned, weights' are signed. A pixel of FIXED16
 * is its channels as integers of at most FIXED16_LIMIT in magnitude, then a float for each FIXED16_CHANNELS of them: the value
 * of one unit, so that the largest of these is FIXED16_LIMIT.
 */
#define FORMATS(V) V(FLOAT32, float32) V(LEVELS8, levels8) V(BFLOAT16, bfloat16) V(FIXED16, fixed16)
/** Element-wise layers of a group. */
#define MEMBER_KINDS(V) V(BATCH_NORM, batchNorm) V(RELU, relu) V(QUANTIZE, quantize) V(ADD, add)
#define BINARIZERS(V) V(IDENTITY, identity) V(SIGMOID, sigmoid)
/** The kind of layer whose weights are updated: each has a learning rate of its own. */
#define GROUPS(V) V(CONV, conv) V(LINEAR, linear)

#define ENUM_VALUE(constant, name) constant,
enum Coefficient { COEFFICIENTS(ENUM_VALUE) };
enum Format { FORMATS(ENUM_VALUE) };
enum MemberKind { MEMBER_KINDS(ENUM_VALUE) };
enum BinarizerKind { BINARIZERS(ENUM_VALUE) };
enum ParameterGroup { GROUPS(ENUM_VALUE) };

/* Arguments and fields of records that take a value of an enum: the TypeScript side gives them by the value's name. */
#define ENUM_ARGUMENTS(A) \
  A(format, FORMATS) A(inputFormat, FORMATS) A(gradientFormat, FORMATS) A(frozenFormat, FORMATS) A(kind, MEMBER_KINDS) \
  A(binarizer, BINARIZERS) A(group, GROUPS)

/* Memory is read as dwords and as floats: these types may point to either. */
typedef float Vector __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));
typedef int32_t IntVector __attribute__((vector_size(4 * VECTOR), aligned(4), may_alias));
typedef int32_t Dword __attribute__((may_alias));

/** What a kernel call sees of its step. */
typedef struct {
  char *arena;
  struct Pool *pool;
  /** Step settings, as StepValues names them. */
  const double *step;
} Context;

/** `body(data, index)` for every index below `count`, on all threads of the pool; returns when all are done. */
typedef void (*Body)(void *data, long index);
struct Pool *poolCreate(int threads);
void poolDestroy(struct Pool *pool);
void parallel(struct Pool *pool, long count, Body body, void *data);
/**
 * Memory of the calling thread, aligned, kept for its next call; contents undefined. Ends the process where there is none,
 * as Node itself does: it is seldom a megabyte, and a step that stopped half-way would leave the task in no state at all.
 */
void *scratch(size_t bytes);

/*
 * Every kernel: name, then the names of its arguments in order. The TypeScript side encodes calls by these names, as the
 * addon exports them. Arguments are doubles: sizes, offsets into the arena (−1: none) or plain numbers.
 */
#define KERNELS(K) \
  K(gather, x, zeros, w, y, scales, format, largestProduct, batch, inHeight, inWidth, inChannels, outHeight, outWidth, \
    outChannels, kernel, stride, padding, transposed) \
  K(weightGradient, x, dy, dw, inputFormat, format, batch, inHeight, inWidth, inChannels, outHeight, outWidth, \
    outChannels, kernel, stride, padding, splits) \
  K(maskGradient, x, zeros, dy, w, sums, format, batch, inHeight, inWidth, inChannels, outHeight, outWidth, \
    outChannels, kernel, stride, padding, segmentChannels, bitsPerFilter, blocks) \
  K(maskWeights, scores, bits, frozen, w, wTransposed, frozenFormat, format, gradientFormat, taps, rowStride, inPadded, \
    inChannels, outChannels, outPadded, rowsPerBit, bitsPerFilter, binarizer, threshold, slope, noise, seed, layerKey) \
  K(gridWeights, problem, values, levels, scales, w, wTransposed, format, gradientFormat, taps, rowStride, inPadded, inChannels, \
    outChannels, outPadded, limit) \
  K(plainWeights, values, w, wTransposed, taps, rowStride, inPadded, inChannels, outChannels, outPadded) \
  K(updateMasks, dw, splits, frozen, frozenFormat, scores, moment1, moment2, taps, rowStride, inPadded, inChannels, \
    outChannels, outPadded, rowsPerBit, bitsPerFilter, binarizer, threshold, slope, noise, seed, layerKey, factor) \
  K(updateWeights, dw, splits, factor, scales, values, moment1, moment2, taps, rowStride, inPadded, inChannels, outChannels, \
    outPadded, limit, group) \
  K(updateBias, dlogits, batch, classes, padded, values, moment1, moment2) \
  K(statistics, x, partial, pixels, channels, chunks) \
  K(normalization, problem, partial, chunks, pixels, channels, padded, coefficients, weight, bias, runningMean, runningVariance) \
  K(updateAffine, partial, chunks, pixels, channels, padded, coefficients, weight, bias, weightMoment1, weightMoment2, \
    biasMoment1, biasMoment2) \
  K(groupForward, pixels, channels, inputs, members, outputs) \
  K(groupSums, pixels, channels, inputs, members, received, chunks) \
  K(groupBackward, pixels, channels, inputs, members, received, owed) \
  K(addGradients, a, b, sum, size) \
  K(imageColumns, bytes, table, image, columns, batch, height, width, outHeight, outWidth, kernel, stride, padding, rows) \
  K(maxPool, x, y, winners, batch, inHeight, inWidth, channels, outHeight, outWidth, kernel, stride, padding) \
  K(maxPoolGradient, dy, winners, dx, batch, inHeight, inWidth, channels, outHeight, outWidth, kernel, stride, padding) \
  K(averagePool, x, y, batch, pixels, channels) \
  K(averagePoolGradient, dy, dx, batch, pixels, channels) \
  K(addBias, logits, bias, batch, classes, padded) \
  K(loss, problem, logits, labels, gradient, metrics, batch, classes, padded)

/*
 * After the fixed arguments of the group kernels come records, as many as the arguments say, in the order of the
 * arguments, each of these numbers:
 */
#define RECORDS(R) \
  R(input, tensor, format, step) \
  R(member, kind, first, second, coefficients, clip, levels, trained, sums, isRead) \
  R(output, value, tensor, format) \
  R(gradient, value, tensor) \
  R(owed, value, tensor, format, scales)

#define STEP_VALUES(S) \
  S(learningRateMasks) S(learningRateWeights) S(learningRateBatchNorm) S(learningRateHead) \
  S(correction1) S(correction2) S(index) \
  /* the optimiser */ \
  S(isAdam) S(beta1) S(beta2) S(epsilon) S(momentum) S(weightDecay)

/* One struct of doubles per kernel and record. */
#define FIELD(name) double name;
#define MAP1(F, a) F(a)
#define MAP2(F, a, ...) F(a) MAP1(F, __VA_ARGS__)
#define MAP3(F, a, ...) F(a) MAP2(F, __VA_ARGS__)
#define MAP4(F, a, ...) F(a) MAP3(F, __VA_ARGS__)
#define MAP5(F, a, ...) F(a) MAP4(F, __VA_ARGS__)
#define MAP6(F, a, ...) F(a) MAP5(F, __VA_ARGS__)
#define MAP7(F, a, ...) F(a) MAP6(F, __VA_ARGS__)
#define MAP8(F, a, ...) F(a) MAP7(F, __VA_ARGS__)
#define MAP9(F, a, ...) F(a) MAP8(F, __VA_ARGS__)
#define MAP10(F, a, ...) F(a) MAP9(F, __VA_ARGS__)
#define MAP11(F, a, ...) F(a) MAP10(F, __VA_ARGS__)
#define MAP12(F, a, ...) F(a) MAP11(F, __VA_ARGS__)
#define MAP13(F, a, ...) F(a) MAP12(F, __VA_ARGS__)
#define MAP14(F, a, ...) F(a) MAP13(F, __VA_ARGS__)
#define MAP15(F, a, ...) F(a) MAP14(F, __VA_ARGS__)
#define MAP16(F, a, ...) F(a) MAP15(F, __VA_ARGS__)
#define MAP17(F, a, ...) F(a) MAP16(F, __VA_ARGS__)
#define MAP18(F, a, ...) F(a) MAP17(F, __VA_ARGS__)
#define MAP19(F, a, ...) F(a) MAP18(F, __VA_ARGS__)
#define MAP20(F, a, ...) F(a) MAP19(F, __VA_ARGS__)
#define MAP21(F, a, ...) F(a) MAP20(F, __VA_ARGS__)
#define MAP22(F, a, ...) F(a) MAP21(F, __VA_ARGS__)
#define MAP_PICK(_1, _2, _3, _4, _5, _6, _7, _8, _9, _10, _11, _12, _13, _14, _15, _16, _17, _18, _19, _20, _21, _22, \
                 NAME, ...) NAME
#define MAP(F, ...) \
  MAP_PICK(__VA_ARGS__, MAP22, MAP21, MAP20, MAP19, MAP18, MAP17, MAP16, MAP15, MAP14, MAP13, MAP12, MAP11, MAP10, MAP9, \
           MAP8, MAP7, MAP6, MAP5, MAP4, MAP3, MAP2, MAP1)(F, __VA_ARGS__)

#define KERNEL_STRUCT(name, ...) typedef struct { MAP(FIELD, __VA_ARGS__) } name##Call;
#define RECORD_STRUCT(name, ...) typedef struct { MAP(FIELD, __VA_ARGS__) } name##Record;
#define KERNEL_FUNCTION(name, ...) void name(const Context *context, const name##Call *call);
#define STEP_INDEX(name) step_##name,
KERNELS(KERNEL_STRUCT)
RECORDS(RECORD_STRUCT)
KERNELS(KERNEL_FUNCTION)
enum { STEP_VALUES(STEP_INDEX) STEP_VALUE_COUNT };

/** A tensor of a call, or NULL. */
#define TENSOR(type, field) ((type *)(call->field < 0 ? NULL : context->arena + (size_t)call->field))

static inline long minLong(long a, long b) { return a < b ? a : b; }
static inline long maxLong(long a, long b) { return a > b ? a : b; }
static inline long ceilDivide(long a, long b) { return (a + b - 1) / b; }
static inline long bytesPerValue(int format) { return format == LEVELS8 ? 1 : format == FLOAT32 ? 4 : 2; }
/** From one pixel to the next. */
static inline long bytesPerPixel(int format, long channels) {
  const long units = format == FIXED16 ? ceilDivide(channels, FIXED16_CHANNELS) : 0;
  return channels * bytesPerValue(format) + units * (long)sizeof(float);
}
/** Of a pixel of FIXED16: the value of one unit of this channel. */
static inline const float *unitOf(const char *pixel, long channels, long channel) {
  return (const float *)((const int16_t *)pixel + channels) + channel / FIXED16_CHANNELS;
}
static inline long paddedChannels(long channels) { return ceilDivide(channels, LANES) * LANES; }

/**
 * Says that a value is not finite: quantisers and max pools would turn it into an ordinary one on its way to the loss.
 * The loss is NaN then, and the tensor is cleared for the next step.
 */
static inline void report(float *problem) {
  float yes = 1.f;
  __atomic_store(problem, &yes, __ATOMIC_RELAXED);
}

/** Rounds to nearest, ties to even, as the processor's own conversion; not for NaN. */
static inline uint16_t toBfloat16(float value) {
  uint32_t bits;
  __builtin_memcpy(&bits, &value, 4);
  return (uint16_t)((bits + 0x7fff + ((bits >> 16) & 1)) >> 16);
}
