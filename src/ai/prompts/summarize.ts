/** The line between the summary, which is shown while it is written, and its lists, which are not. */
export const SEPARATOR = '###DETAILS###';
