SwaggerUIBundle({
  url: new URL("openapi.json", location.href).href,
  dom_id: "#viewer",
  deepLinking: true,
  validatorUrl: null, // or the page would ask a server elsewhere
});
