/** BitwiseAnd, which masks int8 weights in the graph, came with 18. */
export const EXPORT_OPSET = 18;
