/** The lists that the build makes: a line for each emoji with its name, its tags and its forms, between tabs. */
declare module "emoji:en" {
  const lines: string;
  export default lines;
}
declare module "emoji:zh" {
  const lines: string;
  export default lines;
}
