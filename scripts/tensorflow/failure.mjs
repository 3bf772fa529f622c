/** Something the person at the keyboard can act on: printed as one message with the way out, without a stack trace. */
export class SetupError extends Error {
  /**
   * @param {string} message what is missing or wrong
   * @param {string} [wayOut] what to do about it
   */
  constructor(message, wayOut) {
    super(message);
    this.wayOut = wayOut;
  }
}
