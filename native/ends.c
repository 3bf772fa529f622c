/* The two ends of a step, and pools: images into columns, feature maps into logits, logits into loss and gradients. */
#include <math.h>
#include <string.h>
#include "xbm.h"

/* ---- Images ---- */

typedef struct {
  const uint8_t *bytes;
  const float *table;
  float *image, *columns;
  long height, width, outHeight, outWidth, kernel, stride, padding, rows;
} Images;

/** One image, normalised, with a border of zeros; then each of its output rows' windows side by side. */
static void imageColumnsPiece(void *data, long index) {
  const Images *m = data;
  const long width = m->width + 2 * m->padding, height = m->height + 2 * m->padding;
  float *image = m->image + index * height * width * 3;
  memset(image, 0, sizeof(float) * (size_t)(height * width * 3));
  const uint8_t *bytes = m->bytes + index * m->height * m->width * 3;
  for (long y = 0; y < m->height; y++) {
    float *row = image + ((y + m->padding) * width + m->padding) * 3;
    for (long x = 0; x < m->width; x++, bytes += 3, row += 3) {
      row[0] = m->table[bytes[0]];
      row[1] = m->table[256 + bytes[1]];
      row[2] = m->table[512 + bytes[2]];
    }
  }
  const long taps = 3 * m->kernel;
  float *columns = m->columns + index * m->outHeight * m->outWidth * m->rows;
  for (long i = 0; i < m->outHeight; i++) {
    for (long j = 0; j < m->outWidth; j++, columns += m->rows) {
      const float *window = image + (i * m->stride * width + j * m->stride) * 3;
      for (long k = 0; k < m->kernel; k++, window += 3 * width)
        memcpy(columns + k * taps, window, sizeof(float) * (size_t)taps);
      for (long r = m->kernel * taps; r < m->rows; r++) columns[r] = 0.f;
    }
  }
}

/**
 * RGB bytes [batch, height, width, 3] → the first convolution's windows [pixels, rows], (tap, channel) in a row, padded with
 * zeros. `table` [3][256]: (value/255 − mean)/deviation.
 */
void imageColumns(const Context *context, const imageColumnsCall *call) {
  Images m = {
    TENSOR(uint8_t, bytes), TENSOR(float, table), TENSOR(float, image), TENSOR(float, columns),
    (long)call->height, (long)call->width, (long)call->outHeight, (long)call->outWidth,
    (long)call->kernel, (long)call->stride, (long)call->padding, (long)call->rows,
  };
  parallel(context->pool, (long)call->batch, imageColumnsPiece, &m);
}

/* ---- Pools ---- */

typedef struct {
  const float *x, *dy;
  float *y, *dx;
  uint8_t *winners;
  long inHeight, inWidth, channels, outHeight, outWidth, kernel, stride, padding;
} MaxPool;

#define OPEN_MAX_POOL() \
  { \
    .winners = TENSOR(uint8_t, winners), .inHeight = (long)call->inHeight, .inWidth = (long)call->inWidth, \
    .channels = (long)call->channels, .outHeight = (long)call->outHeight, .outWidth = (long)call->outWidth, \
    .kernel = (long)call->kernel, .stride = (long)call->stride, .padding = (long)call->padding \
  }

static void maxPoolRow(void *data, long index) {
  const MaxPool *p = data;
  const long image = index / p->outHeight, i = index % p->outHeight, channels = p->channels;
  for (long j = 0; j < p->outWidth; j++) {
    float *restrict y = p->y + (index * p->outWidth + j) * channels;
    uint8_t *restrict winners = p->winners + (index * p->outWidth + j) * channels;
    for (long c = 0; c < channels; c++) {
      y[c] = -INFINITY;
      winners[c] = 0;
    }
    for (long tap = 0; tap < p->kernel * p->kernel; tap++) {
      const long h = i * p->stride + tap / p->kernel - p->padding, w = j * p->stride + tap % p->kernel - p->padding;
      if (h < 0 || h >= p->inHeight || w < 0 || w >= p->inWidth) continue;
      const float *restrict x = p->x + ((image * p->inHeight + h) * p->inWidth + w) * channels;
      for (long c = 0; c < channels; c++) {
        const int wins = x[c] > y[c];
        y[c] = wins ? x[c] : y[c];
        winners[c] = wins ? (uint8_t)tap : winners[c];
      }
    }
  }
}

/** Padding never wins; of equal values the first one does, row by row. */
void maxPool(const Context *context, const maxPoolCall *call) {
  MaxPool p = OPEN_MAX_POOL();
  p.x = TENSOR(float, x);
  p.y = TENSOR(float, y);
  parallel(context->pool, (long)call->batch * p.outHeight, maxPoolRow, &p);
}

static void maxPoolGradientRow(void *data, long index) {
  const MaxPool *p = data;
  const long image = index / p->inHeight, h = index % p->inHeight, channels = p->channels;
  for (long w = 0; w < p->inWidth; w++) {
    float *restrict dx = p->dx + (index * p->inWidth + w) * channels;
    memset(dx, 0, sizeof(float) * (size_t)channels);
    for (long tap = 0; tap < p->kernel * p->kernel; tap++) {
      const long top = h + p->padding - tap / p->kernel, left = w + p->padding - tap % p->kernel;
      if (top < 0 || left < 0 || top % p->stride != 0 || left % p->stride != 0) continue;
      const long i = top / p->stride, j = left / p->stride;
      if (i >= p->outHeight || j >= p->outWidth) continue;
      const long from = ((image * p->outHeight + i) * p->outWidth + j) * channels;
      const float *restrict dy = p->dy + from;
      const uint8_t *restrict winners = p->winners + from;
      for (long c = 0; c < channels; c++) dx[c] += winners[c] == tap ? dy[c] : 0.f;
    }
  }
}

void maxPoolGradient(const Context *context, const maxPoolGradientCall *call) {
  MaxPool p = OPEN_MAX_POOL();
  p.dy = TENSOR(float, dy);
  p.dx = TENSOR(float, dx);
  parallel(context->pool, (long)call->batch * p.inHeight, maxPoolGradientRow, &p);
}

/** [batch, pixels, channels] → [batch, channels] */
void averagePool(const Context *context, const averagePoolCall *call) {
  const float *x = TENSOR(float, x);
  float *y = TENSOR(float, y);
  const long pixels = (long)call->pixels, channels = (long)call->channels;
  for (long image = 0; image < (long)call->batch; image++, y += channels) {
    memset(y, 0, sizeof(float) * (size_t)channels);
    for (long p = 0; p < pixels; p++, x += channels)
      for (long c = 0; c < channels; c++) y[c] += x[c];
    for (long c = 0; c < channels; c++) y[c] /= (float)pixels;
  }
}

void averagePoolGradient(const Context *context, const averagePoolGradientCall *call) {
  const float *dy = TENSOR(float, dy);
  float *dx = TENSOR(float, dx);
  const long pixels = (long)call->pixels, channels = (long)call->channels;
  for (long image = 0; image < (long)call->batch; image++, dy += channels)
    for (long p = 0; p < pixels; p++, dx += channels)
      for (long c = 0; c < channels; c++) dx[c] = dy[c] / (float)pixels;
}

/* ---- Logits and loss ---- */

void addBias(const Context *context, const addBiasCall *call) {
  float *logits = TENSOR(float, logits);
  const float *bias = TENSOR(float, bias);
  for (long image = 0; image < (long)call->batch; image++, logits += (long)call->padded)
    for (long c = 0; c < (long)call->classes; c++) logits[c] += bias[c];
}

/**
 * metrics = [mean cross-entropy, images whose largest logit, the first of equal ones, is the label's];
 * gradient = (softmax − one-hot) / batch, 0 for padding. `problem` is cleared; where it was set the loss is NaN.
 */
void loss(const Context *context, const lossCall *call) {
  const float *logits = TENSOR(float, logits);
  const int32_t *labels = TENSOR(int32_t, labels);
  float *gradient = TENSOR(float, gradient), *metrics = TENSOR(float, metrics);
  const long batch = (long)call->batch, classes = (long)call->classes, padded = (long)call->padded;
  double total = 0, correct = 0;
  for (long image = 0; image < batch; image++, logits += padded, gradient += padded) {
    long best = 0;
    for (long c = 1; c < classes; c++)
      if (logits[c] > logits[best]) best = c;
    double sum = 0;
    for (long c = 0; c < classes; c++) sum += exp((double)logits[c] - logits[best]);
    for (long c = 0; c < padded; c++) {
      const double share = c < classes ? exp((double)logits[c] - logits[best]) / sum : 0;
      gradient[c] = (float)((share - (c == labels[image])) / (double)batch);
    }
    total += logits[best] + log(sum) - logits[labels[image]];
    correct += best == labels[image];
  }
  float *problem = TENSOR(float, problem);
  metrics[0] = *problem != 0.f ? NAN : (float)(total / (double)batch);
  *problem = 0.f;
  metrics[1] = (float)correct;
}
