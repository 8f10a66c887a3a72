SwaggerUIBundle({
  url: "openapi.json",
  dom_id: "#swagger-ui",
  deepLinking: true,
  // By default it would send the address of the document to another host.
  validatorUrl: null,
});
