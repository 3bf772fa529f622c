/* Batch norm: the batch's statistics, the coefficients made from them, and the step of weight and bias. */
#include <math.h>
#include <string.h>
#include "optimizer.h"
#include "xbm.h"

/** As in PyTorch. */
#define EPSILON 1e-5
#define MOMENTUM 0.1

typedef struct {
  const float *x;
  float *partial;
  long pixels, channels, chunks;
} Statistics;

static void statisticsPiece(void *data, long index) {
  const Statistics *s = data;
  const long perChunk = ceilDivide(s->pixels, s->chunks);
  const long first = minLong(s->pixels, index * perChunk), end = minLong(s->pixels, first + perChunk);
  float *origin = s->partial + 3 * index * s->channels;
  float *sum = origin + s->channels, *squares = sum + s->channels;
  memset(origin, 0, sizeof(float) * 3 * (size_t)s->channels);
  if (first < end) memcpy(origin, s->x + first * s->channels, sizeof(float) * (size_t)s->channels);
  for (long p = first; p < end; p++) {
    const float *x = s->x + p * s->channels;
    for (long c = 0; c < s->channels; c++) {
      const float d = x[c] - origin[c];
      sum[c] += d;
      squares[c] += d * d;
    }
  }
}

/**
 * partial [chunks][3][channels]: of each chunk of pixels its first value, and the sums of d and d², d = x − that value:
 * near enough to the mean that the variance does not cancel.
 */
void statistics(const Context *context, const statisticsCall *call) {
  Statistics s = { TENSOR(float, x), TENSOR(float, partial), (long)call->pixels, (long)call->channels,
                   (long)call->chunks };
  parallel(context->pool, s.chunks, statisticsPiece, &s);
}

/** Channels of one piece of the work below. */
#define CHANNELS 64

typedef struct {
  const Context *context;
  const void *call;
} Job;

static void normalizationPiece(void *data, long index) {
  const Context *context = ((Job *)data)->context;
  const normalizationCall *call = ((Job *)data)->call;
  const long channels = (long)call->channels, padded = (long)call->padded, chunks = (long)call->chunks;
  const long pixels = (long)call->pixels, perChunk = ceilDivide(pixels, chunks);
  const float *partial = TENSOR(float, partial);
  float *coefficients = TENSOR(float, coefficients);
  const float *weight = TENSOR(float, weight), *bias = TENSOR(float, bias);
  float *runningMean = TENSOR(float, runningMean), *runningVariance = TENSOR(float, runningVariance);
  for (long c = index * CHANNELS; c < minLong(channels, (index + 1) * CHANNELS); c++) {
    double mean = 0, deviations = 0, count = 0;
    for (long chunk = 0; chunk < chunks; chunk++) {
      const double n = (double)(minLong(pixels, (chunk + 1) * perChunk) - minLong(pixels, chunk * perChunk));
      if (n <= 0) break;
      const float *sums = partial + 3 * chunk * padded + c;
      const double sum = sums[padded], squares = sums[2 * padded];
      const double difference = sums[0] + sum / n - mean;
      mean += difference * n / (count + n);
      deviations += fmax(0, squares - sum * sum / n) + difference * difference * count * n / (count + n);
      count += n;
    }
    const double variance = deviations / count;
    if (!isfinite(mean + variance + weight[c] + bias[c])) report(TENSOR(float, problem));
    const float inverse = (float)(1 / sqrt(variance + EPSILON));
    coefficients[MEAN * padded + c] = (float)mean;
    coefficients[SCALE * padded + c] = weight[c] * inverse;
    coefficients[SHIFT * padded + c] = bias[c];
    coefficients[INVERSE * padded + c] = inverse;
    runningMean[c] = (float)((1 - MOMENTUM) * runningMean[c] + MOMENTUM * mean);
    runningVariance[c] = (float)((1 - MOMENTUM) * runningVariance[c] + MOMENTUM * variance * count / (count - 1));
  }
}

/**
 * Chunks become the batch's mean and biased variance (Chan, Golub and LeVeque 1979: means and sums of squares of two parts
 * combine exactly), these become coefficients, and the running statistics move by the momentum, with the unbiased variance.
 * Coefficients of padded channels stay 0.
 */
void normalization(const Context *context, const normalizationCall *call) {
  Job job = { context, call };
  parallel(context->pool, ceilDivide((long)call->channels, CHANNELS), normalizationPiece, &job);
}

static void updateAffinePiece(void *data, long index) {
  const Context *context = ((Job *)data)->context;
  const updateAffineCall *call = ((Job *)data)->call;
  const long padded = (long)call->padded, chunks = (long)call->chunks;
  const double count = call->pixels;
  const float *partial = TENSOR(float, partial);
  float *coefficients = TENSOR(float, coefficients);
  const Optimizer optimizer = openOptimizer(context, context->step[step_learningRateBatchNorm]);
  const long start = index * CHANNELS;
  const long length = minLong(CHANNELS, (long)call->channels - start);
  float gradients[CHANNELS], products[CHANNELS];
  for (long c = 0; c < length; c++) {
    double gradient = 0, product = 0;
    for (long chunk = 0; chunk < chunks; chunk++) {
      gradient += partial[2 * chunk * padded + start + c];
      product += partial[(2 * chunk + 1) * padded + start + c];
    }
    coefficients[MEAN_GRADIENT * padded + start + c] = (float)(gradient / count);
    coefficients[MEAN_PRODUCT * padded + start + c] = (float)(product / count);
    gradients[c] = (float)gradient;
    products[c] = (float)product;
  }
  optimize(&optimizer, TENSOR(float, weight), TENSOR(float, weightMoment1), TENSOR(float, weightMoment2), products, start,
           length);
  optimize(&optimizer, TENSOR(float, bias), TENSOR(float, biasMoment1), TENSOR(float, biasMoment2), gradients, start,
           length);
}

/** Totals of the gradient sums become coefficients, and weight and bias take their step. */
void updateAffine(const Context *context, const updateAffineCall *call) {
  Job job = { context, call };
  parallel(context->pool, ceilDivide((long)call->channels, CHANNELS), updateAffinePiece, &job);
}
